//! Downloads from a local Hub server: the requests, the cache, and the errors.
#![allow(clippy::unwrap_used)]

mod data_sets;
mod server;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minift::hub::{DownloadProgress, HubModel, HubSettings, Limits, Snapshot, Token, fetch};
use minift::{Error, Result};
use server::{COMMIT, NAME, Server, Trouble, etag, weights};
use tempfile::TempDir;

const TOKEN: &str = "hf_secret";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A Hub server and an empty cache.
struct Scene {
    server: Server,
    folder: TempDir,
    settings: HubSettings,
}

impl Scene {
    fn new() -> Self {
        let (server, folder) = (Server::new(), tempfile::tempdir().unwrap());
        let settings = HubSettings {
            endpoint: server.endpoint.clone(),
            cache: folder.path().join("hub"),
            token: Token::new(TOKEN).unwrap(),
            certificates: None,
            offline: false,
            limits: Limits {
                connect: Duration::from_secs(5),
                stall: Duration::from_millis(500),
                retries: 2,
                pause: Duration::from_millis(5),
            },
        };
        Self {
            server,
            folder,
            settings,
        }
    }

    fn fetch_at(&self, revision: Option<&str>) -> Result<Snapshot> {
        let model = HubModel::new(NAME, revision).unwrap();
        fetch(&model, &self.settings, |_| ControlFlow::Continue(()))
    }

    fn fetch(&self) -> Result<Snapshot> {
        self.fetch_at(None)
    }

    fn fetch_error(&self) -> Error {
        self.fetch().unwrap_err()
    }

    /// The model's folder in the cache.
    fn place(&self) -> PathBuf {
        self.settings.cache.join("models--owner--tiny")
    }

    fn blob(&self, file: &str) -> PathBuf {
        let file = self.server.state().files[file].clone();
        self.place().join("blobs").join(etag(&file))
    }

    fn incomplete(&self, file: &str) -> PathBuf {
        let mut path = self.blob(file).into_os_string();
        path.push(".incomplete");
        path.into()
    }

    /// The ranges requested of a file, in order.
    fn ranges(&self, file: &str) -> Vec<Option<String>> {
        let asked = self.server.asked().into_iter();
        asked
            .filter(|asked| asked.method == "GET" && asked.path == format!("/content/{file}"))
            .map(|asked| asked.header("range").map(str::to_string))
            .collect()
    }

    /// Disturbs the next download of the weights that has not been disturbed yet.
    fn disturb_weights(&self, trouble: Trouble) {
        let path = format!("/content/{WEIGHTS}");
        self.server.trouble("GET", &path, trouble);
    }

    fn check_weights(&self, snapshot: &Snapshot) {
        let bytes = fs::read(snapshot.folder.join(WEIGHTS)).unwrap();
        assert!(bytes == weights(300_000), "the weights differ");
    }
}

/// The relative paths of all files below a folder.
fn tree(folder: &Path) -> Vec<String> {
    fn walk(at: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

fn check_kind(error: &Error, kind: &str, words: &[&str]) {
    let text = error.report();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains(TOKEN), "{text}");
}

#[test]
fn a_model_is_downloaded_into_the_standard_layout() {
    let scene = Scene::new();
    let mut seen: Vec<DownloadProgress> = Vec::new();
    let model = HubModel::new(NAME, None).unwrap();
    let snapshot = fetch(&model, &scene.settings, |progress| {
        seen.push(progress.clone());
        ControlFlow::Continue(())
    })
    .unwrap();

    assert_eq!(snapshot.commit, COMMIT);
    assert_eq!(snapshot.unasked, None);
    assert_eq!(
        snapshot.folder,
        scene.place().join("snapshots").join(COMMIT)
    );
    scene.check_weights(&snapshot);
    let names = [
        "config.json",
        "generation_config.json",
        WEIGHTS,
        "tokenizer.json",
    ];
    assert_eq!(tree(&snapshot.folder), names); // and no README.md
    for name in names {
        let file = snapshot.folder.join(name);
        assert_eq!(
            fs::canonicalize(file).unwrap(),
            fs::canonicalize(scene.blob(name)).unwrap()
        );
    }
    let reference = fs::read_to_string(scene.place().join("refs/main")).unwrap();
    assert_eq!(reference, COMMIT);
    assert!(
        scene
            .place()
            .join(".no_exist")
            .join(COMMIT)
            .join("LICENSE")
            .exists()
    );
    assert!(
        !tree(&scene.place())
            .iter()
            .any(|file| file.ends_with(".incomplete"))
    );

    // Progress increases file by file up to the size of each.
    for pair in seen.windows(2) {
        assert!(pair[0].files_done <= pair[1].files_done);
        assert!(pair[0].file != pair[1].file || pair[0].bytes <= pair[1].bytes);
    }
    let last = seen.last().unwrap();
    assert_eq!(
        (last.file.as_str(), last.bytes, last.size),
        (WEIGHTS, 300_000, 300_000)
    );
    assert_eq!((last.files_done, last.files), (4, 4));

    // The second time, only the branch is resolved.
    scene.server.asked();
    assert_eq!(scene.fetch().unwrap(), snapshot);
    let asked = scene.server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].path, "/api/models/owner/tiny/revision/main");
}

#[test]
fn the_token_is_only_sent_to_the_endpoint() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    let asked = scene.server.asked();
    let (content, own): (Vec<_>, Vec<_>) = asked
        .iter()
        .partition(|asked| asked.path.starts_with("/content/"));
    assert_eq!(content.len(), 1);
    for asked in content {
        assert!(
            asked.header("host").unwrap().starts_with("localhost"),
            "{asked:?}"
        );
        assert!(!format!("{asked:?}").contains(TOKEN), "{asked:?}");
    }
    let sent = format!("Bearer {TOKEN}");
    for asked in own {
        assert_eq!(
            asked.header("authorization"),
            Some(sent.as_str()),
            "{asked:?}"
        );
    }

    // Another port of the endpoint's host is another server.
    let (scene, other) = (Scene::new(), Server::new());
    let elsewhere = format!("{}/moved/config.json", other.endpoint);
    let elsewhere: &'static str = elsewhere.leak();
    for method in ["HEAD", "GET"] {
        let redirect = Trouble::Status(307, vec![("Location", elsewhere)]);
        scene.server.trouble(method, "/config.json", redirect);
    }
    scene.fetch().unwrap();
    let asked = other.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("authorization").is_none()),
        "{asked:?}"
    );
}

#[test]
fn the_token_is_sent_when_redirected_within_the_endpoint() {
    let scene = Scene::new();
    for method in ["HEAD", "GET"] {
        let redirect = Trouble::Status(307, vec![("Location", "/moved/config.json")]);
        scene.server.trouble(method, "/config.json", redirect);
    }
    scene.fetch().unwrap();
    let moved: Vec<_> = scene
        .server
        .asked()
        .into_iter()
        .filter(|a| a.path == "/moved/config.json")
        .collect();
    assert_eq!(moved.len(), 2);
    assert!(
        moved
            .iter()
            .all(|asked| asked.header("authorization").is_some())
    );
}

#[test]
fn endless_and_invalid_redirects_are_rejected() {
    for location in [
        "/moved/config.json",
        "file:///etc/passwd",
        "//x/y",
        "",
        "moved",
        "ftp://x/y",
    ] {
        let scene = Scene::new();
        for path in ["/config.json"; 12] {
            let redirect = Trouble::Status(307, vec![("Location", location)]);
            scene.server.trouble("HEAD", path, redirect);
        }
        check_kind(&scene.fetch_error(), "Hub", &["invalid response"]);
    }
}

#[test]
fn an_interrupted_download_resumes() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::CutAfter(100_000));
    scene.disturb_weights(Trouble::CutAfter(50_000));
    let snapshot = scene.fetch().unwrap();
    scene.check_weights(&snapshot);
    let ranges = [
        None,
        Some("bytes=100000-".to_string()),
        Some("bytes=150000-".to_string()),
    ];
    assert_eq!(scene.ranges(WEIGHTS), ranges);
}

#[test]
fn a_later_run_resumes_an_interrupted_download() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::CutAfter(100_000));
    for _ in 0..2 {
        scene.disturb_weights(Trouble::CutAfter(0));
    }
    let error = scene.fetch_error();
    check_kind(
        &error,
        "HubInterrupted",
        &["100000 of 300000", "retry to resume it", WEIGHTS],
    );
    assert_eq!(
        fs::read(scene.incomplete(WEIGHTS)).unwrap(),
        weights(300_000)[..100_000]
    );
    assert!(
        !scene.place().join("refs/main").exists(),
        "an incomplete copy must not be used"
    );

    scene.server.asked();
    let snapshot = scene.fetch().unwrap();
    scene.check_weights(&snapshot);
    assert_eq!(scene.ranges(WEIGHTS), [Some("bytes=100000-".to_string())]);
    assert!(!scene.incomplete(WEIGHTS).exists());
}

#[test]
fn a_stopped_download_resumes() {
    let scene = Scene::new();
    let model = HubModel::new(NAME, None).unwrap();
    let mut kept = 0;
    let error = fetch(&model, &scene.settings, |progress| {
        kept = progress.bytes;
        match progress.file == WEIGHTS && progress.bytes > 0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })
    .unwrap_err();
    check_kind(&error, "HubInterrupted", &["stopped"]);
    assert!((1..300_000).contains(&kept), "{kept}");
    assert_eq!(fs::metadata(scene.incomplete(WEIGHTS)).unwrap().len(), kept);
    scene.server.asked();
    scene.check_weights(&scene.fetch().unwrap());
    assert_eq!(scene.ranges(WEIGHTS), [Some(format!("bytes={kept}-"))]);
}

#[test]
fn a_stalled_download_times_out_and_resumes() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::StallAfter(100_000));
    let start = Instant::now();
    scene.check_weights(&scene.fetch().unwrap());
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        scene.ranges(WEIGHTS),
        [None, Some("bytes=100000-".to_string())]
    );
}

#[test]
fn a_stalling_server_is_an_error() {
    let scene = Scene::new();
    for _ in 0..3 {
        scene.disturb_weights(Trouble::StallAfter(0));
    }
    let words = ["localhost stopped sending data", "before the first byte"];
    check_kind(&scene.fetch_error(), "HubInterrupted", &words);
}

#[test]
fn a_server_without_ranges_restarts_the_download() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::CutAfter(100_000));
    scene.disturb_weights(Trouble::NoRanges);
    scene.check_weights(&scene.fetch().unwrap());
}

#[test]
fn a_server_that_repeats_the_same_bytes_is_given_up() {
    let scene = Scene::new();
    for _ in 0..20 {
        scene.disturb_weights(Trouble::CutWithoutRanges(100_000));
    }
    check_kind(&scene.fetch_error(), "HubInterrupted", &[WEIGHTS]);
    assert_eq!(scene.ranges(WEIGHTS).len(), 3);
}

#[test]
fn a_damaged_partial_file_is_downloaded_again() {
    // Longer than the file, of the same size, and shorter; all with wrong bytes.
    for length in [300_001, 300_000, 1000] {
        let scene = Scene::new();
        let path = scene.incomplete(WEIGHTS);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![7; length]).unwrap();
        scene.check_weights(&scene.fetch().unwrap());
        assert_eq!(scene.ranges(WEIGHTS).last(), Some(&None), "{length}");
    }
}

#[test]
fn an_oversized_partial_file_is_downloaded_again() {
    // The SHA-256 of a small file is unknown.
    let scene = Scene::new();
    let path = scene.incomplete("config.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, [7; 1000]).unwrap();
    let config = scene.fetch().unwrap().folder.join("config.json");
    let bytes = scene.server.state().files["config.json"].bytes.clone();
    assert_eq!(fs::read(config).unwrap(), bytes);
}

#[test]
fn a_deleted_file_is_downloaded_again() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    fs::remove_file(scene.blob(WEIGHTS)).unwrap();
    scene.check_weights(&scene.fetch().unwrap());
}

#[test]
fn rejected_ranges_are_not_requested_again() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::CutAfter(100_000));
    scene.disturb_weights(Trouble::Status(416, vec![]));
    scene.check_weights(&scene.fetch().unwrap());
    assert_eq!(
        scene.ranges(WEIGHTS),
        [None, Some("bytes=100000-".to_string()), None]
    );
}

#[test]
fn a_wrong_content_range_is_rejected() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::CutAfter(100_000));
    let other = vec![("Content-Range", "bytes 5-299999/300000")];
    scene.disturb_weights(Trouble::Status(206, other));
    check_kind(
        &scene.fetch_error(),
        "Hub",
        &["invalid response", "bytes 5-299999/300000"],
    );
}

#[test]
fn a_damaged_download_is_rejected() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::Damaged);
    check_kind(
        &scene.fetch_error(),
        "Hub",
        &["damaged", WEIGHTS, "SHA-256"],
    );
    assert!(!scene.blob(WEIGHTS).exists());
    scene.server.asked();
    scene.check_weights(&scene.fetch().unwrap());
    assert_eq!(
        scene.ranges(WEIGHTS),
        [None],
        "no byte of the damaged file may be kept"
    );
}

#[test]
fn excess_bytes_are_rejected() {
    let scene = Scene::new();
    scene.disturb_weights(Trouble::TooMuch);
    check_kind(
        &scene.fetch_error(),
        "Hub",
        &["sent more than", WEIGHTS, "300000"],
    );
    scene.check_weights(&scene.fetch().unwrap());
}

#[test]
fn transient_errors_are_retried() {
    let scene = Scene::new();
    for (method, path) in [
        ("GET", "/revision/main"),
        ("HEAD", "/config.json"),
        ("GET", "/config.json"),
    ] {
        scene
            .server
            .trouble(method, path, Trouble::Status(500, vec![]));
        scene.server.trouble(
            method,
            path,
            Trouble::Status(429, vec![("Retry-After", "0")]),
        );
    }
    // The URL of the content network expired: the next attempt gets another one.
    scene.disturb_weights(Trouble::Status(403, vec![]));
    scene.check_weights(&scene.fetch().unwrap());
}

#[test]
fn persistent_errors_end_the_download() {
    let scene = Scene::new();
    for _ in 0..3 {
        scene
            .server
            .trouble("HEAD", "/tokenizer.json", Trouble::Status(503, vec![]));
    }
    let error = scene.fetch_error();
    check_kind(
        &error,
        "HubInterrupted",
        &["503", "tokenizer.json", "before the first byte"],
    );
    assert_eq!(
        scene
            .server
            .asked()
            .iter()
            .filter(|a| a.path.ends_with("/tokenizer.json"))
            .count(),
        3
    );

    for _ in 0..3 {
        scene
            .server
            .trouble("GET", "/revision/main", Trouble::Status(503, vec![]));
    }
    check_kind(&scene.fetch_error(), "HubUnreachable", &["503"]);
}

#[test]
fn the_cached_copy_is_used_without_a_network() {
    let scene = Scene::new();
    let first = scene.fetch().unwrap();
    scene.server.stop();
    let again = scene.fetch().unwrap();
    assert_eq!(
        (&again.folder, &again.commit),
        (&first.folder, &first.commit)
    );
    assert!(again.unasked.unwrap().contains("127.0.0.1"));

    // A required file is missing.
    fs::remove_file(scene.blob("tokenizer.json")).unwrap();
    check_kind(
        &scene.fetch_error(),
        "HubUnreachable",
        &["127.0.0.1", "no complete copy", "check the connection"],
    );
}

#[test]
fn offline_mode_sends_no_requests() {
    let mut scene = Scene::new();
    scene.settings.offline = true;
    check_kind(&scene.fetch_error(), "HubUnreachable", &["HF_HUB_OFFLINE"]);
    scene.settings.offline = false;
    scene.fetch().unwrap();
    scene.settings.offline = true;
    scene.server.asked();
    assert!(
        scene
            .fetch()
            .unwrap()
            .unasked
            .unwrap()
            .contains("HF_HUB_OFFLINE")
    );
    assert!(scene.server.asked().is_empty());
}

#[test]
fn a_cached_commit_is_used_without_a_request() {
    let scene = Scene::new();
    scene.fetch_at(Some(COMMIT)).unwrap();
    assert!(!scene.place().join("refs").exists());
    scene.server.asked();
    let again = scene.fetch_at(Some(COMMIT)).unwrap();
    assert_eq!(again.unasked, None);
    assert!(scene.server.asked().is_empty());

    // Other Hub clients do not record that there is no LICENSE, so it is looked up.
    fs::remove_dir_all(scene.place().join(".no_exist")).unwrap();
    scene.fetch_at(Some(COMMIT)).unwrap();
    assert_eq!(scene.server.asked().len(), 1);
}

#[test]
fn files_are_shared_between_commits() {
    let scene = Scene::new();
    let snapshot = scene.fetch().unwrap();
    fs::remove_dir_all(&snapshot.folder).unwrap();
    scene.server.asked();
    scene.check_weights(&scene.fetch().unwrap());
    assert!(
        scene
            .server
            .asked()
            .iter()
            .all(|a| a.method == "HEAD" || a.path.starts_with("/api/"))
    );
}

#[test]
fn revisions_are_escaped_in_requests() {
    let scene = Scene::new();
    scene.fetch_at(Some("refs/pr/3")).unwrap();
    assert_eq!(
        scene.server.asked()[0].path,
        "/api/models/owner/tiny/revision/refs%2Fpr%2F3"
    );
    let reference = scene.place().join("refs/refs/pr/3");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);
}

#[test]
fn certificates_are_read() {
    let mut scene = Scene::new();
    let path = scene.folder.path().join("roots.pem");
    scene.settings.certificates = Some(path.clone());
    check_kind(&scene.fetch_error(), "Io", &["roots.pem"]);
    fs::write(&path, "none").unwrap();
    check_kind(
        &scene.fetch_error(),
        "InvalidSetting",
        &["SSL_CERT_FILE", "roots.pem", "PEM"],
    );
}

#[test]
fn error_responses_give_advice() {
    type Case = (
        u16,
        &'static str,
        bool,
        &'static str,
        &'static [&'static str],
    );
    let cases: [Case; 10] = [
        (
            403,
            "GatedRepo",
            false,
            "HubDenied",
            &["accept the licence", "HF_TOKEN"],
        ),
        (
            401,
            "GatedRepo",
            false,
            "HubDenied",
            &["accept the licence", "HF_TOKEN"],
        ),
        (
            403,
            "GatedRepo",
            true,
            "HubDenied",
            &["account of your token", "licence"],
        ),
        (
            401,
            "RepoNotFound",
            false,
            "HubNotFound",
            &["spelling", "private", "HF_TOKEN"],
        ),
        (
            404,
            "RepoNotFound",
            true,
            "HubNotFound",
            &["spelling", "account of your token"],
        ),
        (
            404,
            "RevisionNotFound",
            true,
            "HubNotFound",
            &["no revision \"main\"", "/tree/main"],
        ),
        (404, "", true, "HubNotFound", &["spelling"]),
        (401, "", true, "HubDenied", &["rejects the token"]),
        (403, "", false, "HubDenied", &["denies access", "by rule"]),
        (400, "", true, "Hub", &["400", "by rule"]),
    ];
    for (status, code, has_token, kind, words) in cases {
        let mut scene = Scene::new();
        if !has_token {
            scene.settings.token = None;
        }
        let headers = vec![("X-Error-Code", code), ("X-Error-Message", "by rule")];
        let headers = headers
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        scene
            .server
            .trouble("GET", "/revision/main", Trouble::Status(status, headers));
        let error = scene.fetch_error();
        check_kind(&error, kind, words);
        assert!(error.to_string().contains(NAME), "{error}");
        assert_eq!(scene.server.asked().len(), 1, "{status} {code} is final");
        assert!(!scene.settings.cache.exists(), "nothing was downloaded");
    }

    // Listed but missing.
    let scene = Scene::new();
    scene
        .server
        .state()
        .further_siblings
        .push("LICENSE".to_string());
    check_kind(&scene.fetch_error(), "HubNotFound", &["LICENSE"]);
}

#[test]
fn unusable_models_are_rejected_before_any_download() {
    let cases: [(&str, Option<&str>, &[&str]); 4] = [
        (
            WEIGHTS,
            Some("pytorch_model.bin"),
            &["pytorch_model.bin", "save_pretrained", "refs/pr"],
        ),
        (WEIGHTS, None, &["has no weights", WEIGHTS]),
        (
            "tokenizer.json",
            None,
            &["no tokenizer.json", "AutoTokenizer"],
        ),
        ("config.json", None, &["no config.json"]),
    ];
    for (without, with, words) in cases {
        let scene = Scene::new();
        scene.server.remove(without);
        if let Some(with) = with {
            scene.server.add(with, b"pickle", true);
        }
        check_kind(&scene.fetch_error(), "Hub", words);
        assert_eq!(scene.server.asked().len(), 1);
    }
}

/// A Hub server whose model has sharded weights.
fn sharded(parts: &[&str]) -> Scene {
    let scene = Scene::new();
    scene.server.remove(WEIGHTS);
    let map: serde_json::Map<_, _> = (0..parts.len())
        .map(|i| (format!("layer.{i}"), parts[i].into()))
        .collect();
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    scene.server.add(INDEX, index.as_bytes(), false);
    scene
}

#[test]
fn weight_shards_are_downloaded() {
    let parts = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let scene = sharded(&[parts[0], parts[1], parts[0]]);
    scene.server.add(parts[0], &weights(1000), true);
    scene.server.add(parts[1], &weights(2000), true);
    scene
        .server
        .add("consolidated.safetensors", &weights(3000), true);
    let snapshot = scene.fetch().unwrap();
    for (part, length) in parts.into_iter().zip([1000, 2000]) {
        assert_eq!(
            fs::read(snapshot.folder.join(part)).unwrap(),
            weights(length)
        );
    }
    assert!(!snapshot.folder.join("consolidated.safetensors").exists());

    scene.server.stop();
    assert!(scene.fetch().unwrap().unasked.is_some());
    fs::remove_file(scene.blob(parts[1])).unwrap();
    assert_eq!(scene.fetch_error().kind(), "HubUnreachable");
}

#[test]
fn an_index_cannot_lead_out_of_the_cache() {
    let names = [
        "../../x.safetensors",
        "/tmp/x.safetensors",
        "a/x.safetensors",
        "..\\x.safetensors",
        "C:x.safetensors",
        ".safetensors",
        "x.bin",
        "",
        "x\n.safetensors",
        "x%2f.safetensors",
    ];
    for name in names {
        let scene = sharded(&[name]);
        // The server would send it.
        scene
            .server
            .add(name.rsplit('/').next().unwrap(), b"x", false);
        scene.server.state().further_siblings.push(name.to_string());
        let error = scene.fetch_error();
        check_kind(
            &error,
            "Weights",
            &[INDEX, "expected the name of a .safetensors file"],
        );
        assert!(
            !scene
                .server
                .asked()
                .iter()
                .any(|asked| asked.path.contains("x.safetensors"))
        );
        assert_eq!(
            tree(scene.folder.path())
                .iter()
                .filter(|file| file.ends_with("x.safetensors"))
                .count(),
            0
        );
    }
}

#[test]
fn an_invalid_index_is_rejected() {
    for (index, kind, words) in [
        ("{\"weight_map\": {}}", "Weights", "names no file"),
        ("{\"weight_map\": [1]}", "Parse", "not an index"),
        ("<html>", "Parse", "not an index"),
        ("", "Parse", "not an index"),
        (
            "{\"weight_map\": {\"a\": \"gone.safetensors\"}}",
            "Weights",
            "is missing from the repository",
        ),
    ] {
        let scene = sharded(&[]);
        scene.server.add(INDEX, index.as_bytes(), false);
        check_kind(&scene.fetch_error(), kind, &[INDEX, words]);
    }
}

#[test]
fn file_names_cannot_lead_out_of_the_cache() {
    let scene = Scene::new();
    let names = [
        "../../../escaped",
        "/escaped",
        "..\\escaped",
        "config.json/../../escaped",
        "a\0b",
        "",
    ];
    scene
        .server
        .state()
        .further_siblings
        .extend(names.map(str::to_string));
    let snapshot = scene.fetch().unwrap();
    assert_eq!(tree(&snapshot.folder).len(), 4);
    for file in tree(scene.folder.path()) {
        assert!(
            file.starts_with("hub/") && !file.contains("escaped"),
            "{file}"
        );
    }
}

#[test]
fn entity_tags_and_commits_cannot_lead_out_of_the_cache() {
    // The tag becomes a file name, the commit a folder name.
    for etag in [
        "../../../escaped",
        "/escaped",
        "..",
        ".",
        "",
        "a b",
        "x.lock",
    ] {
        let scene = Scene::new();
        let headers = vec![("ETag", format!("\"{etag}\""))];
        scene
            .server
            .trouble("HEAD", "/config.json", Trouble::Headers(headers));
        check_kind(
            &scene.fetch_error(),
            "Hub",
            &["invalid response", "config.json"],
        );
        assert!(!scene.settings.cache.exists());
    }
    for sha in [
        "../../../escaped",
        "",
        "main",
        &"g".repeat(40),
        &"A".repeat(40),
    ] {
        let scene = Scene::new();
        let description = serde_json::json!({ "sha": sha, "siblings": [] }).to_string();
        scene.server.state().description = Some(description);
        check_kind(
            &scene.fetch_error(),
            "Hub",
            &["invalid response", "not a commit hash"],
        );
        assert!(!scene.settings.cache.exists());
    }
}

#[test]
fn invalid_model_info_is_rejected() {
    for description in [
        "",
        "<html>",
        "[]",
        "{\"siblings\": []}",
        &"[".repeat(1 << 20),
    ] {
        let scene = Scene::new();
        scene.server.state().description = Some(description.to_string());
        check_kind(
            &scene.fetch_error(),
            "Hub",
            &["invalid response", "cannot parse"],
        );
    }
    let scene = Scene::new();
    scene.server.state().description = Some(" ".repeat((32 << 20) + 1));
    check_kind(&scene.fetch_error(), "Hub", &["too long"]);
}

#[test]
fn a_download_by_another_process_is_awaited() {
    let scene = Scene::new();
    let etag = scene.blob(WEIGHTS).file_name().unwrap().to_owned();
    let locks = scene.settings.cache.join(".locks/models--owner--tiny");
    fs::create_dir_all(&locks).unwrap();
    let mut path = locks.join(&etag);
    path.set_extension("lock");
    let lock = fs::File::create(&path).unwrap();
    lock.lock().unwrap();
    check_kind(&scene.fetch_error(), "Hub", &["another program", WEIGHTS]);

    // The other process completes the file.
    let blob = scene.blob(WEIGHTS);
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        fs::write(&blob, weights(300_000)).unwrap();
        drop(lock);
    });
    scene.server.asked();
    scene.check_weights(&scene.fetch().unwrap());
    other.join().unwrap();
    assert!(scene.ranges(WEIGHTS).is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported() {
    let scene = Scene::new();
    let path = scene.incomplete("config.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    check_kind(
        &scene.fetch_error(),
        "Io",
        &["free some space", ".incomplete"],
    );
}

#[test]
#[cfg(unix)]
fn a_complete_read_only_cache_is_used() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let snapshot = scene.fetch().unwrap();
    let before = tree(&scene.settings.cache);
    fs::remove_dir_all(scene.place().join(".no_exist")).unwrap();
    fs::set_permissions(scene.place(), fs::Permissions::from_mode(0o555)).unwrap();
    let again = scene.fetch();
    fs::set_permissions(scene.place(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(again.unwrap(), snapshot);
    // Root can write anyway, and restores the markers.
    assert!(tree(&scene.settings.cache).len() <= before.len());
}
