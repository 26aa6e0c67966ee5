//! Any template and conversation yields a text or an error, in bounded time.

use std::ops::Range;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::ChatTemplate;
use crate::error::Result;

fn parse(template: &str) -> Result<ChatTemplate> {
    let config = br#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
    let parsed = ChatTemplate::parse(Some(template.as_bytes()), Some(config), Path::new("model"));
    parsed.map(Option::unwrap)
}

fn conversation() -> Vec<Value> {
    vec![
        json!({"role": "user", "content": "What is it?"}),
        json!({"role": "assistant", "content": "<think>\nHm.\n</think>\n\nIt is."}),
        json!({"role": "user", "content": [{"type": "text", "text": "Is it?"}]}),
        json!({"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "look", "arguments": {"é": [1.5, null, true]}}}
        ]}),
        json!({"role": "tool", "content": "yes"}),
        json!({"role": "assistant", "content": "It is."}),
    ]
}

/// Renders in every mode, and checks that the assistant's parts are valid ranges of the text.
fn check(template: &str, messages: &[Value]) {
    let Ok(template) = parse(template) else {
        return;
    };
    let tools = json!([{"type": "function", "function": {"name": "look"}}]);
    let _ = template.render(messages, Some(&tools), true);
    let text = template.render(messages, None, false);
    if let Ok(rendered) = template.render_marked(messages, None) {
        assert_eq!(rendered.text, text.unwrap());
        let mut last = 0;
        for part in rendered.assistant {
            assert!(last <= part.start && part.start < part.end);
            assert!(rendered.text.get(part.clone()).is_some());
            last = part.end;
        }
    }
}

/// A template with most constructs of real ones.
const TEMPLATE: &str = "\
{%- set ns = namespace(system='', last=-1) -%}
{%- if messages[0]['role'] == 'system' %}{% set ns.system = messages[0].content | trim %}{% endif %}
{%- macro parts(content) %}
    {%- if content is string %}{{ content.split('</think>')[-1].lstrip('\\n') }}
    {%- elif content is mapping %}{{ content | tojson(indent=2) }}
    {%- else %}{% for part in content %}{{ part['text'] ~ '' }}{% endfor %}{% endif %}
{%- endmacro %}
{%- for message in messages[::-1] %}{% if message.role == 'user' and ns.last < 0 %}
{%- set ns.last = messages | length - 1 - loop.index0 %}{% endif %}{% endfor %}
{{- bos_token -}}
{% for message in messages if message.role != 'system' %}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) and tools is not defined %}
    {{- raise_exception('roles must alternate: ' ~ message.role) }}
  {%- endif %}
  <|{{ message.role }}|>
{% if message.role == 'assistant' %}{% generation %}{{ parts(message.content) }}
{%- for call in message.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}{{ eos_token }}
{%- endgeneration %}{% else %}{{ parts(message.content) }}{% endif %}{% if loop.last %}{% break %}{% endif %}
{%- endfor %}
{% raw %}{{ kept }}{% endraw %}{{ strftime_now('%d %b %Y') }}{{ {'a': [1, (2,)]}.items() | list }}
{%- if add_generation_prompt %}<|assistant|>
{% endif %}";

/// Building blocks of templates.
const PIECES: &[&str] = &[
    "{%",
    "%}",
    "{{",
    "}}",
    "{#",
    "#}",
    "{%-",
    "-%}",
    "{{-",
    "-}}",
    " for ",
    " in ",
    " if ",
    " else ",
    " elif ",
    " endfor ",
    " endif ",
    " set ",
    " endset ",
    " macro ",
    " endmacro ",
    " call ",
    " endcall ",
    " generation ",
    " endgeneration ",
    " raw ",
    " endraw ",
    " with ",
    " endwith ",
    " filter ",
    " endfilter ",
    " break ",
    " continue ",
    " messages ",
    " message ",
    " loop ",
    " ns ",
    " namespace(a=1) ",
    " range(9) ",
    " [1, 'é'] ",
    " {'k': none} ",
    " 'é' ",
    "\"",
    "'",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "|",
    "~",
    "+",
    "-",
    "*",
    "/",
    "//",
    "**",
    "%",
    "=",
    "==",
    " not ",
    " and ",
    " is ",
    " defined ",
    " tojson ",
    " length ",
    " trim ",
    " split ",
    " join ",
    "x",
    "ns.a",
    "loop.index",
    ".items()",
    ".split('a')",
    "[::-1]",
    "[-1]",
    "[1:]",
    " 9 ",
    " 1e400 ",
    " 99999999999999999999 ",
    "\n",
    "é",
    "😀",
    "\u{e000}",
    "\r\n",
    "\t",
];

/// Building blocks of questions and answers, including each other's words and turn separators.
const WORDS: &[&str] = &[
    "a",
    "b",
    "é ",
    " ",
    "\n",
    "ok",
    "</s>",
    "<|im_end|>",
    "A: ",
    "[INST]",
    "<bot>",
];

proptest! {
    #[test]
    fn random_templates_of_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        check(&pieces.concat(), &conversation());
    }

    #[test]
    fn random_templates(template in "\\PC{0,60}") {
        check(&template, &conversation());
    }

    #[test]
    fn mutated_templates(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..30, prop::sample::select(PIECES)), 1..5)
    ) {
        let mut characters: Vec<char> = TEMPLATE.chars().collect();
        for (place, length, piece) in changes {
            let start = place.index(characters.len());
            let end = (start + length).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        check(&String::from_iter(characters), &conversation());
    }

    #[test]
    fn random_conversations(
        roles in prop::collection::vec(prop::sample::select(&["user", "assistant", "system", "tool", "é"][..]), 1..7),
        texts in prop::collection::vec("(<think>|</think>|</s>|<\\|user\\|>|[a-b é\u{e000}\\n]){0,6}", 7),
        weights in prop::collection::vec(any::<bool>(), 7),
    ) {
        let messages: Vec<Value> = roles
            .iter()
            .zip(texts.iter().zip(&weights))
            .map(|(role, (text, weight))| json!({"role": role, "content": text, "weight": weight}))
            .collect();
        check(TEMPLATE, &messages);
        let without_blocks = TEMPLATE
            .replace("{% generation %}", "")
            .replace("{%- endgeneration %}", "");
        check(&without_blocks, &messages);
        check("{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}{{ eos_token }}", &messages);
    }

    /// Even if prefixes of a conversation do not match the whole, the parts found are within the
    /// assistant's turns and cover all of its answers.
    #[test]
    fn parts_match_a_template_with_generation_blocks(
        (user, assistant) in prop::sample::select(&[
            ("<|im_start|>user\\n", "<|im_start|>assistant\\n"),
            ("[INST] ", " [/INST]"),
            ("### Question:\\n", "### Answer:\\n"),
            ("<user>", "<bot>"),
            ("U: ", "A: "),
        ][..]),
        end in prop::sample::select(&["<|im_end|>\\n", "</s>", "<end>", "\\n\\n", "<|eot|>\\n"][..]),
        said in prop::sample::select(&[
            "m.content",
            "m.content | trim",
            "m.content.split('</think>')[-1].lstrip('\\n')",
            "(m.content if loop.last else m.content.split('</think>')[-1].lstrip('\\n'))",
            "('<think>\\n\\n</think>\\n\\n' ~ m.content if loop.last else m.content)",
        ][..]),
        (before, prompt) in prop::sample::select(&[
            ("", ""),
            ("", "<think>\\n"),
            ("{{ messages | length }} turns\\n", ""),
            ("{% if messages | length < least %}{{ raise_exception('too short') }}{% endif %}", ""),
            ("{{ '[tools]' if messages[-1].role == 'user' }}", ""),
        ][..]),
        texts in prop::collection::vec(
            (
                prop::collection::vec(prop::sample::select(WORDS), 0..4),
                prop::option::of(prop::sample::select(&["hm", "ok", "a b"][..])),
                prop::collection::vec(prop::sample::select(WORDS), 0..4),
            ),
            1..4,
        ),
    ) {
        let messages: Vec<Value> = texts
            .iter()
            .flat_map(|(question, thought, answer)| {
                let thought = thought.map(|thought| format!("<think>\n{thought}\n</think>\n\n"));
                let answer = thought.unwrap_or_default() + &answer.concat();
                [
                    json!({"role": "user", "content": question.concat()}),
                    json!({"role": "assistant", "content": answer}),
                ]
            })
            .collect();
        let marked = |blocks: [&str; 4]| {
            let [start, words_start, words_end, last] = blocks;
            let template = format!(
                "{{% set least = {} %}}{before}{{% for m in messages %}}{{% if m.role == 'user' %}}\
                 {{{{ '{user}' ~ m.content ~ '{end}' }}}}{{% else %}}{{{{ '{assistant}' }}}}\
                 {start}{words_start}{{{{ {said} }}}}{words_end}{{{{ '{end}' }}}}{last}{{% endif %}}\
                 {{% endfor %}}{{{{ '{assistant}{prompt}' if add_generation_prompt }}}}",
                messages.len()
            );
            parse(&template).unwrap().render_marked(&messages, None).unwrap()
        };
        let (open, close) = ("{% generation %}", "{% endgeneration %}");
        let turns = marked([open, "", "", close]);
        let words = marked(["", open, close, ""]);
        let found = marked(["", "", "", ""]);
        prop_assert_eq!(&found.text, &turns.text);
        for part in &found.assistant {
            let holds = |turn: &Range<usize>| turn.start <= part.start && part.end <= turn.end;
            prop_assert!(turns.assistant.iter().any(holds), "{:?}: {part:?}", found);
        }
        for part in &words.assistant {
            let text = &found.text[part.clone()];
            let answer = text.rsplit("</think>").next().unwrap_or_default().trim();
            let start = part.start + text.rfind(answer).unwrap_or_default();
            let holds = |found: &Range<usize>| found.start <= start && start + answer.len() <= found.end;
            prop_assert!(answer.is_empty() || found.assistant.iter().any(holds), "{:?}: {answer}", found);
        }
    }
}

#[test]
fn the_template_of_these_tests_renders() {
    let rendered = parse(TEMPLATE).unwrap();
    let tools = json!([]);
    let rendered = rendered
        .render_marked(&conversation(), Some(&tools))
        .unwrap();
    let parts = rendered.assistant.into_iter();
    let parts: Vec<&str> = parts.map(|part| &rendered.text[part]).collect();
    assert_eq!(
        parts,
        [
            "It is.</s>",
            "{\"name\": \"look\", \"arguments\": {\"é\": [1.5, null, true]}}</s>",
            "It is.</s>"
        ]
    );
}

#[test]
fn unbounded_templates_are_stopped() {
    for (template, expected) in [
        (
            "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
            "recursion limit",
        ),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "does not terminate",
        ),
        (
            "{% set ns = namespace(x='é') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "does not terminate",
        ),
        (
            "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
            "does not terminate",
        ),
        (
            "{% set x = 'é' * 10000 %}{% for a in range(9999) %}{{ x }}{% endfor %}",
            "more than 1",
        ),
        (
            "{% set ns = namespace(x=[]) %}{% for a in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}",
            "nested too deeply",
        ),
        (
            "{% set ns = namespace() %}{% set ns.x = {'a': [ns]} %}{{ ns.x }}",
            "a namespace within another value",
        ),
        (
            "{% set ns = namespace(x=[]) %}{% for a in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
            "nested too deeply",
        ),
    ] {
        let error = parse(template)
            .unwrap()
            .render(&conversation(), None, false);
        let message = error.unwrap_err().to_string();
        assert!(message.contains(expected), "{template}: {message}");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    for template in [
        format!(
            "{}1{}",
            "{{ ".to_string() + &"(".repeat(20_000),
            ")".repeat(20_000) + " }}"
        ),
        "{% if true %}".repeat(20_000),
        format!("{{{{ {} }}}}", "[".repeat(20_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(20_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(20_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(20_000)),
        format!("{{{{ a{} }}}}", "|b".repeat(20_000)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(20_000)),
        format!("{{{{ 1{} }}}}", " ** 1".repeat(20_000)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(20_000)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(20_000)),
    ] {
        check(&template, &conversation());
    }
}
