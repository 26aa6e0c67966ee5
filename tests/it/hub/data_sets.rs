//! Data sets from the local Hub server.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use minift::Result;
use minift::hub::{DataSnapshot, HubDataSet, fetch_data};
use minift::text::{ReadOptions, read_all};

use super::server::{COMMIT, Trouble};
use super::{Scene, check_kind, tree};

const TRAIN: [&str; 2] = [
    "data/train-00000-of-00002.jsonl",
    "data/train-00001-of-00002.jsonl",
];
const TEST: &str = "data/test-00000-of-00001.jsonl";

fn line(text: &str) -> Vec<u8> {
    format!("{{\"text\": \"{text}\"}}\n").into_bytes()
}

/// A data set of two splits, one of two files.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.server.state().files.clear();
    for (file, text) in [(TRAIN[0], "a"), (TRAIN[1], "b"), (TEST, "c")] {
        scene.server.add(file, &line(text), true);
    }
    scene.server.add("README.md", b"# Data", false);
    scene
}

fn fetch(scene: &Scene, name: &str) -> Result<DataSnapshot> {
    let named = HubDataSet::parse(name).unwrap();
    fetch_data(&named, &scene.settings, |_| ControlFlow::Continue(()))
}

fn texts(found: &DataSnapshot) -> Vec<String> {
    let records = read_all(&found.files, &ReadOptions::default())
        .unwrap()
        .records;
    records.iter().map(ToString::to_string).collect()
}

#[test]
fn a_split_is_downloaded_into_the_standard_layout() {
    let scene = scene();
    let found = fetch(&scene, "owner/tiny").unwrap();
    assert_eq!(
        (found.split.as_str(), found.commit.as_str()),
        ("train", COMMIT)
    );
    assert_eq!(texts(&found), ["a", "b"]);
    let place = scene.settings.cache.join("datasets--owner--tiny");
    let snapshot = place.join("snapshots").join(COMMIT);
    assert_eq!(tree(&snapshot), TRAIN);
    let blob = fs::canonicalize(snapshot.join(TRAIN[0])).unwrap();
    assert_eq!(
        blob.parent(),
        fs::canonicalize(place.join("blobs")).ok().as_deref()
    );
    assert_eq!(fs::read_to_string(place.join("refs/main")).unwrap(), COMMIT);

    // Another split is added; what is cached is not requested again.
    let asked = scene.server.asked();
    assert_eq!(asked[0].path, "/api/datasets/owner/tiny/revision/main");
    assert!(
        asked[1].path.starts_with("/datasets/owner/tiny/resolve/"),
        "{asked:?}"
    );
    assert_eq!(texts(&fetch(&scene, "owner/tiny:test").unwrap()), ["c"]);
    assert_eq!(
        texts(&fetch(&scene, "owner/tiny:train").unwrap()),
        ["a", "b"]
    );
    let content = |path: &str| path.starts_with("/content/");
    let asked = scene.server.asked();
    let requested = asked.iter().filter(|asked| content(&asked.path));
    assert_eq!(requested.count(), 1, "{asked:?}");
}

#[test]
fn missing_splits_and_subsets_list_what_there_is() {
    let scene = scene();
    let error = fetch(&scene, "owner/tiny:valid").unwrap_err();
    check_kind(
        &error,
        "Hub",
        &[
            "owner/tiny:valid",
            "\"train\" and \"test\"",
            "owner/tiny:split",
        ],
    );
    scene.server.state().files.clear();
    scene.server.add("README.md", b"# Data", false);
    let error = fetch(&scene, "owner/tiny").unwrap_err();
    check_kind(&error, "Hub", &["no data files", ".parquet"]);
    scene
        .server
        .add("main/train-00000-of-00001.jsonl", &line("a"), false);
    scene
        .server
        .add("more/train-00000-of-00001.jsonl", &line("b"), false);
    let error = fetch(&scene, "owner/tiny").unwrap_err();
    check_kind(
        &error,
        "Hub",
        &["\"main\" and \"more\"", "owner/tiny:subset/split"],
    );
    assert_eq!(texts(&fetch(&scene, "owner/tiny:more").unwrap()), ["b"]);
    assert_eq!(
        texts(&fetch(&scene, "owner/tiny:main/train").unwrap()),
        ["a"]
    );
}

#[test]
fn the_cached_split_is_used_without_a_network() {
    let scene = scene();
    fetch(&scene, "owner/tiny:test").unwrap();
    scene.server.stop();
    let found = fetch(&scene, "owner/tiny:test").unwrap();
    assert_eq!(texts(&found), ["c"]);
    assert!(found.unasked.unwrap().contains("127.0.0.1"));
    let error = fetch(&scene, "owner/tiny").unwrap_err();
    check_kind(&error, "HubUnreachable", &["no complete copy"]);
}

#[test]
fn a_missing_data_set_is_named() {
    let scene = scene();
    let trouble = Trouble::Status(401, vec![("X-Error-Code", "RepoNotFound")]);
    scene.server.trouble("GET", "/revision/main", trouble);
    let error = fetch(&scene, "owner/tiny").unwrap_err();
    check_kind(
        &error,
        "HubNotFound",
        &["no data set", "/datasets/owner/tiny", "spelling"],
    );
}

#[test]
fn names_in_a_repository_cannot_lead_out_of_the_cache() {
    let scene = scene();
    scene.server.state().files.clear();
    let names = [
        "../train.jsonl",
        "/train.jsonl",
        "a/../../train.jsonl",
        "train\\..\\a.jsonl",
    ];
    for name in names {
        scene.server.state().further_siblings = vec![name.to_string()];
        let error = fetch(&scene, "owner/tiny").unwrap_err();
        check_kind(&error, "Hub", &["no data files"]);
    }
    assert_eq!(tree(scene.folder.path()), [""; 0]);
}

#[test]
fn the_program_reads_data_sets_by_name() {
    let scene = scene();
    let run = |data: &str, folder: &Path| {
        let done = Command::new(env!("CARGO_BIN_EXE_minift"))
            .current_dir(folder)
            .args(["data", data])
            .env("HF_ENDPOINT", &scene.settings.endpoint)
            .env("HF_HUB_CACHE", &scene.settings.cache)
            .env_remove("HF_TOKEN")
            .output()
            .unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(text).unwrap())
    };
    let folder = scene.folder.path();
    let (is_success, text) = run("owner/tiny:test", folder);
    assert!(
        is_success && text.contains("owner/tiny:test, split test (1 file)"),
        "{text}"
    );
    // A path that exists is a path, and a missing file is not looked for on the Hub.
    scene.server.asked();
    fs::create_dir(folder.join("owner")).unwrap();
    fs::write(folder.join("owner/tiny"), "A text of its own.\n").unwrap();
    let (is_success, text) = run("owner/tiny", folder);
    assert!(is_success && text.contains("A text of its own."), "{text}");
    let (is_success, text) = run("owner/missing.jsonl", folder);
    assert!(
        !is_success && text.contains("cannot read owner/missing.jsonl"),
        "{text}"
    );
    assert_eq!(scene.server.asked().len(), 0);
}
