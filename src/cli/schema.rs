//! The JSON schemas of configurations and recipes, with which editors complete and check them.

use std::path::Path;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::train::TrainArguments;
use crate::compare::Recipe;
use crate::train::TrainOptions;

/// Returns the properties of a type.
fn properties<T: JsonSchema>() -> Map<String, Value> {
    // The draft that editors support the best.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = serde_json::to_value(schema).unwrap();
    simplify(&mut schema);
    match schema["properties"].take() {
        Value::Object(properties) => properties,
        other => panic!("expected properties, found {other}"),
    }
}

/// Removes what TOML has not, null, and what only Rust has: formats, and defaults that are absent.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("format");
            fields.retain(|key, value| key != "default" || !value.is_null());
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [single] = &types[..] {
                    let single = single.clone();
                    fields.insert("type".to_string(), single);
                }
            }
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(single)] = &choices[..] {
                    let single = single.clone();
                    fields.remove("anyOf");
                    for (key, value) in single {
                        // The description of the setting says more than that of its type.
                        fields.entry(key).or_insert(value);
                    }
                }
            }
            fields.values_mut().for_each(simplify);
        }
        Value::Array(values) => values.iter_mut().for_each(simplify),
        _ => {}
    }
}

/// Returns the schema of a table.
fn table(properties: Map<String, Value>, required: &[&str]) -> Value {
    let mut table = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        table["required"] = required.into();
    }
    table
}

/// Returns the schema of a file.
fn file(title: &str, description: &str, table: Value) -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "description": description,
    });
    if let (Value::Object(schema), Value::Object(mut table)) = (&mut schema, table) {
        schema.append(&mut table);
    }
    schema
}

/// Returns the training options, with the former name of one.
fn options() -> Map<String, Value> {
    let mut options = properties::<TrainOptions>();
    options.insert("learning_rate".to_string(), options["lr"].clone());
    options
}

fn config() -> Value {
    let mut settings = properties::<TrainArguments>();
    settings.append(&mut options());
    file(
        "Configuration of minift train",
        "The settings of a training, for minift train --config.",
        table(settings, &[]),
    )
}

fn recipe() -> Value {
    let mut recipe = properties::<Recipe>();
    recipe.insert("training".to_string(), table(options(), &[]));
    let mut method = Map::new();
    let name = json!({ "type": "string", "description": "Name in the report." });
    method.insert("name".to_string(), name);
    method.append(&mut options());
    let sweep = json!({
        "type": "array",
        "items": { "type": "number" },
        "description": "Further values of the strength of the method.",
    });
    method.insert("sweep".to_string(), sweep);
    let methods = json!({ "type": "array", "items": table(method, &["name"]) });
    recipe.insert("method".to_string(), methods);
    file(
        "Recipe of minift compare",
        "A comparison of methods over their strengths, for minift compare --recipe.",
        table(recipe, &["budgets", "seeds", "domain", "method"]),
    )
}

#[test]
fn the_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/schema");
    for (name, schema) in [("config.json", config()), ("recipe.json", recipe())] {
        let expected = format!("{schema:#}\n");
        let path = folder.join(name);
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&expected) {
            let generated = std::env::temp_dir().join(format!("minift-schema-{name}"));
            std::fs::write(&generated, expected).unwrap();
            let (generated, path) = (generated.display(), path.display());
            panic!("assets/schema/{name} is out of date: cp {generated} {path}");
        }
    }
}

#[test]
fn the_schema_of_a_configuration_has_its_keys() {
    let schema = config();
    let properties = schema["properties"].as_object().unwrap();
    let mut keys: Vec<&String> = properties.keys().collect();
    let mut expected = TrainArguments::keys();
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected.iter().collect::<Vec<_>>());
    for (key, property) in properties {
        assert!(property["description"].is_string(), "{key}: {property}");
        assert!(!property.to_string().contains("null"), "{key}: {property}");
    }
}
