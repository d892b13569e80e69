use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

/// How long news may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is gone when the test ends.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("sluice-watch-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn service(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{clusterIP: 10.96.0.10, ports: [{{port: {port}}}]}}\n"
    )
}

fn summary(news: &News) -> Vec<String> {
    let line = |service: &Arc<crate::model::Service>| {
        let ports: Vec<_> = service.ports.iter().map(|port| port.port.to_string()).collect();
        format!("{}:{}", service.name.name, ports.join(","))
    };
    news.picture.services.values().map(line).collect()
}

/// Follows a folder while `scenario` runs.
async fn follow<F: Future<Output = ()>>(
    dir: &TempDir,
    scenario: impl FnOnce(watch::Receiver<News>) -> F,
) {
    let (source, receiver) = FileSource::open(dir.0.clone(), Ranges::default()).unwrap();
    tokio::select! {
        _ = source.run() => panic!("the source ended"),
        () = scenario(receiver) => {}
    }
}

/// Waits for news that look like `expected`; what else comes before is an error.
async fn expect(news: &mut watch::Receiver<News>, expected: &[&str]) -> News {
    let start = Instant::now();
    let changed = tokio::time::timeout(PATIENCE, news.changed()).await;
    changed.expect("no news").unwrap();
    println!("{expected:?} after {:?}", start.elapsed());
    let news = news.borrow_and_update().clone();
    assert_eq!(summary(&news), expected);
    news
}

/// Waits for news that look like `expected`, whatever comes before.
async fn settle(news: &mut watch::Receiver<News>, expected: &[String]) {
    let settled = news.wait_for(|news| summary(news) == expected);
    tokio::time::timeout(PATIENCE, settled).await.expect("no such news").unwrap();
}

async fn expect_silence(news: &mut watch::Receiver<News>) {
    let changed = tokio::time::timeout(Duration::from_millis(150), news.changed()).await;
    assert!(changed.is_err(), "news where none was due: {:?}", news.borrow());
}

#[tokio::test]
async fn writes_renames_and_removals_are_followed() {
    let dir = TempDir::new();
    dir.write("a.yaml", &service("a", 80));
    dir.write("notes.txt", "not: [yaml");
    follow(&dir, async |mut news| {
        assert_eq!(summary(&news.borrow_and_update()), ["a:80"]);
        dir.write("b.yml", &service("b", 80));
        expect(&mut news, &["a:80", "b:80"]).await;
        dir.write(".c.tmp", &service("c", 80));
        expect_silence(&mut news).await;
        fs::rename(dir.0.join(".c.tmp"), dir.0.join("a.yaml")).unwrap();
        expect(&mut news, &["b:80", "c:80"]).await;
        fs::rename(dir.0.join("b.yml"), dir.0.join("b.yml.bak")).unwrap();
        expect(&mut news, &["c:80"]).await;
        fs::remove_file(dir.0.join("a.yaml")).unwrap();
        expect(&mut news, &[]).await;
    })
    .await;
}

#[tokio::test]
async fn the_same_size_in_the_same_instant_is_not_missed() {
    let dir = TempDir::new();
    dir.write("a.yaml", &service("a", 80));
    follow(&dir, async |mut news| {
        news.borrow_and_update();
        for port in 81..99 {
            dir.write("a.yaml", &service("a", port));
            expect(&mut news, &[&format!("a:{port}")]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_written_slowly_is_never_seen_half() {
    use std::io::Write;
    let dir = TempDir::new();
    dir.write("a.yaml", &(service("a", 80) + &service("b", 80)));
    follow(&dir, async |mut news| {
        news.borrow_and_update();
        for port in 81.. {
            assert!(port < 101, "something held us up each time");
            let mut file = fs::File::create(dir.0.join("a.yaml")).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (mut last, mut pause) = (None, Duration::ZERO);
            for part in [service("a", port), service("b", port), service("c", port)] {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let begun = Instant::now();
                file.write_all(part.as_bytes()).unwrap();
                pause = pause.max(last.replace(begun).map_or(pause, |last| last.elapsed()));
            }
            let begun = last.unwrap();
            drop(file);
            let whole = ["a", "b", "c"].map(|name| format!("{name}:{port}"));
            if pause.max(begun.elapsed()) < pending::WRITING {
                expect(&mut news, &whole.each_ref().map(String::as_str)).await;
                break;
            }
            // Quiet for so long that a part may be taken for the whole.
            settle(&mut news, &whole).await;
        }
        dir.write("a.yaml", "");
        expect(&mut news, &[]).await;
    })
    .await;
}

#[tokio::test]
async fn a_file_moved_away_and_written_anew_never_disappears() {
    let dir = TempDir::new();
    dir.write("a.yaml", &service("a", 80));
    follow(&dir, async |mut news| {
        news.borrow_and_update();
        for port in 81.. {
            assert!(port < 101, "something held us up each time");
            let begun = Instant::now();
            fs::rename(dir.0.join("a.yaml"), dir.0.join("a.yaml~")).unwrap();
            dir.write("a.yaml", &service("a", port));
            let whole = [format!("a:{port}")];
            if begun.elapsed() < pending::GONE {
                expect(&mut news, &[&whole[0]]).await;
                break;
            }
            // Gone for so long that it may be taken for removed.
            settle(&mut news, &whole).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_content() {
    let dir = TempDir::new();
    dir.write("a.yaml", &service("a", 80));
    dir.write("b.yaml", &service("b", 80));
    follow(&dir, async |mut news| {
        news.borrow_and_update();
        dir.write("a.yaml", "kind: [Service\nx: y\n");
        let broken = expect(&mut news, &["a:80", "b:80"]).await;
        let rejections: Vec<_> = broken.rejections.iter().map(ToString::to_string).collect();
        assert_eq!(rejections.len(), 1);
        assert!(rejections[0].starts_with("file a.yaml: document 1, line 2: "), "{rejections:?}");
        assert!(rejections[0].ends_with("its last good content stays"), "{rejections:?}");
        assert!(broken.complete);
        dir.write("b.yaml", &service("b", 81));
        expect(&mut news, &["a:80", "b:81"]).await;
        dir.write("a.yaml", &service("a", 82));
        assert!(expect(&mut news, &["a:82", "b:81"]).await.rejections.is_empty());
    })
    .await;
}

#[test]
fn a_file_that_was_never_good_makes_the_picture_incomplete() {
    let dir = TempDir::new();
    dir.write("a.yaml", "a: [");
    dir.write("b.yaml", &service("b", 80));
    let news = load(&dir.0, &Ranges::default()).unwrap();
    assert_eq!((summary(&news), news.complete), (vec!["b:80".to_owned()], false));
    let error = load(&dir.0.join("none"), &Ranges::default()).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the manifest folder "), "{error}");
}

#[tokio::test]
async fn a_config_map_switches_all_its_files_at_once() {
    let dir = TempDir::new();
    let version = |number: u16, files: &[&str]| {
        let folder = dir.0.join(format!("..version_{number}"));
        fs::create_dir(&folder).unwrap();
        for name in files {
            fs::write(folder.join(format!("{name}.yaml")), service(name, number)).unwrap();
        }
        symlink(format!("..version_{number}"), dir.0.join("..data_tmp")).unwrap();
        fs::rename(dir.0.join("..data_tmp"), dir.0.join("..data")).unwrap();
    };
    let link = |name: &str| {
        symlink(format!("..data/{name}.yaml"), dir.0.join(format!("{name}.yaml"))).unwrap();
    };
    version(1, &["a", "b"]);
    link("a");
    link("b");
    follow(&dir, async |mut news| {
        assert_eq!(summary(&news.borrow_and_update()), ["a:1", "b:1"]);
        version(2, &["a", "b"]);
        fs::remove_dir_all(dir.0.join("..version_1")).unwrap();
        expect(&mut news, &["a:2", "b:2"]).await;
        version(3, &["b", "c"]);
        link("c");
        fs::remove_file(dir.0.join("a.yaml")).unwrap();
        let start = Instant::now();
        while summary(&news.borrow_and_update()) != ["b:3", "c:3"] {
            assert!(start.elapsed() < PATIENCE);
            news.changed().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_followed_again() {
    let dir = TempDir::new();
    let inner = dir.0.join("manifests");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("a.yaml"), service("a", 80)).unwrap();
    let (source, mut news) = FileSource::open(inner.clone(), Ranges::default()).unwrap();
    let scenario = async {
        news.borrow_and_update();
        fs::rename(&inner, dir.0.join("old")).unwrap();
        let lost = expect(&mut news, &["a:80"]).await;
        assert!(lost.rejections[0].to_string().contains("its last content stays"));
        // In one step: an empty folder would be believed.
        let new = dir.0.join("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("b.yaml"), service("b", 80)).unwrap();
        fs::rename(&new, &inner).unwrap();
        expect(&mut news, &["b:80"]).await;
        fs::write(inner.join("b.yaml"), service("b", 81)).unwrap();
        expect(&mut news, &["b:81"]).await;
    };
    tokio::select! {
        _ = source.run() => panic!("the source ended"),
        () = scenario => {}
    }
}

#[tokio::test]
async fn one_change_among_thousands_is_out_in_time() {
    let dir = TempDir::new();
    let all = |port| {
        (0..2_000).map(|i| service(&format!("s{i}"), 80)).collect::<String>() + &service("x", port)
    };
    dir.write("all.yaml", &all(1));
    follow(&dir, async |mut news| {
        let before = news.borrow_and_update().picture.clone();
        for port in 2..7 {
            dir.write("all.yaml", &all(port));
            let start = Instant::now();
            news.changed().await.unwrap();
            println!("picture of 2001 Services after {:?}", start.elapsed());
        }
        let after = news.borrow_and_update().picture.clone();
        let changed =
            before.services.iter().filter(|(name, old)| !Arc::ptr_eq(old, &after.services[*name]));
        assert_eq!(changed.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn quick_rewriting_in_place_never_shows_a_service_missing() {
    let dir = TempDir::new();
    dir.write("a.yaml", &service("a", 80));
    follow(&dir, async |mut news| {
        let path = dir.0.join("a.yaml");
        let writer = std::thread::spawn(move || {
            for port in 1..=400 {
                fs::write(&path, service("a", port)).unwrap();
                std::thread::sleep(Duration::from_micros(u64::from(port) * 7 % 3_000));
            }
        });
        let (mut seen, start) = (0, Instant::now());
        while summary(&news.borrow_and_update()) != ["a:400"] {
            assert_eq!(news.borrow().picture.services.len(), 1);
            assert!(start.elapsed() < PATIENCE, "{:?}", news.borrow());
            if tokio::time::timeout(Duration::from_secs(1), news.changed()).await.is_ok() {
                seen += 1;
            }
        }
        println!("{seen} of 400 versions seen in {:?}", start.elapsed());
        writer.join().unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_source_ends_when_nobody_listens_any_more() {
    let dir = TempDir::new();
    let (source, receiver) = FileSource::open(dir.0.clone(), Ranges::default()).unwrap();
    drop(receiver);
    let ended = tokio::time::timeout(PATIENCE, source.run()).await;
    assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
}
