use super::*;
use crate::watch::{document::Format, manifest::Manifest};

/// Assembles files given as name and YAML; the answer is a line for each Service and slice.
fn run(files: &[(&str, &str)]) -> (Arc<Picture>, Vec<String>, Vec<String>) {
    run_after(&mut assembler(), files)
}

fn assembler() -> Assembler {
    let service_cidrs = vec!["10.96.0.0/16".parse().unwrap()];
    Assembler::new(Ranges { service_cidrs, ..Ranges::default() })
}

fn run_after(
    assembler: &mut Assembler,
    files: &[(&str, &str)],
) -> (Arc<Picture>, Vec<String>, Vec<String>) {
    let read = |text| Manifest::read(text, Format::Yaml, &Manifest::default()).unwrap();
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, read(text))).collect();
    let objects = files
        .iter()
        .flat_map(|(name, manifest)| manifest.objects().map(move |object| (*name, object)));
    let (picture, rejections) = assembler.assemble(objects);
    let services =
        picture.services.values().map(|service| format!("{} {:?}", service.name, service.kind));
    let slices = picture.slices.values().flat_map(|list| &**list).map(|slice| {
        let addresses: Vec<_> = slice.endpoints.iter().map(|e| e.address.to_string()).collect();
        format!("{}: {} {}", slice.service, slice.name, addresses.join(" "))
    });
    let lines = services.chain(slices).collect();
    (picture, lines, rejections.iter().map(ToString::to_string).collect())
}

const SELECTING: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";
const SELECTORLESS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
";
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web-0, labels: {app: web}}
status: {podIP: 10.0.0.1}
";
const SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.2]}]
ports: [{port: 80}]
";
const ENDPOINTS: &str = "
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.0.0.3}], ports: [{port: 80}]}]
";

#[test]
fn endpoints_come_from_slices_else_from_pods_or_endpoints_by_selector() {
    #[track_caller]
    fn check(files: &[&str], expected: &[&str]) {
        let files: Vec<_> = files.iter().map(|text| ("f.yaml", *text)).collect();
        let (_, lines, rejections) = run(&files);
        assert_eq!(rejections, [""; 0]);
        let slices: Vec<_> = lines.into_iter().filter(|line| line.contains(": ")).collect();
        assert_eq!(slices, expected);
    }
    check(&[SELECTING, POD], &["default/web: web-pods-0 10.0.0.1"]);
    check(&[SELECTING, POD, SLICE], &["default/web: web-1 10.0.0.2"]);
    check(&[SELECTING, POD, ENDPOINTS], &["default/web: web-pods-0 10.0.0.1"]);
    check(&[SELECTING, ENDPOINTS], &[]);
    check(&[SELECTORLESS, POD, ENDPOINTS], &["default/web: web-mirrored-0-v4 10.0.0.3"]);
    check(
        &[SELECTORLESS, SLICE, ENDPOINTS],
        &["default/web: web-1 10.0.0.2", "default/web: web-mirrored-0-v4 10.0.0.3"],
    );
    check(&[ENDPOINTS], &[]);
    check(&[SLICE], &["default/web: web-1 10.0.0.2"]);
}

#[test]
fn the_first_file_has_an_object_that_two_define() {
    let files =
        [("a.yaml", SELECTORLESS), ("b.yaml", SELECTING), ("b.yaml", SLICE), ("c.yaml", SLICE)];
    let (_, lines, rejections) = run(&files);
    assert_eq!(lines, ["default/web ClusterIp", "default/web: web-1 10.0.0.2"]);
    assert_eq!(
        rejections,
        [
            "Service default/web: is defined in a.yaml already; the one in b.yaml is left out",
            "EndpointSlice default/web-1: is defined in b.yaml already; the one in c.yaml is left out",
        ]
    );
}

#[test]
fn unchanged_objects_stay_the_same_allocation() {
    let mut assembler = assembler();
    let (before, ..) = run_after(&mut assembler, &[("a.yaml", SELECTING), ("b.yaml", POD)]);
    let changed = POD.replace("10.0.0.1", "10.0.0.9");
    let files = [("a.yaml", SELECTING), ("b.yaml", &*changed)];
    let (after, ..) = run_after(&mut assembler, &files);
    let web = ServiceName::new("default", "web");
    assert!(Arc::ptr_eq(&before.services[&web], &after.services[&web]));
    assert!(!Arc::ptr_eq(&before.slices[&web][0], &after.slices[&web][0]));
    let (again, ..) = run_after(&mut assembler, &files);
    assert!(Arc::ptr_eq(&after.slices[&web][0], &again.slices[&web][0]));
}

#[test]
fn a_picture_does_not_depend_on_those_before_it() {
    let renamed = SELECTORLESS.replace("web", "api");
    let port = SELECTORLESS.replace("80", "81");
    let steps: [&[&str]; 6] = [
        &[SELECTING, POD],
        &[SELECTORLESS, POD, ENDPOINTS],
        &[&renamed, SELECTORLESS, SLICE],
        &[&port, SLICE],
        &[],
        &[SELECTING, SLICE, ENDPOINTS],
    ];
    let mut assembler = assembler();
    for texts in steps {
        let files: Vec<_> = texts.iter().map(|text| ("f.yaml", *text)).collect();
        let (fresh, after) = (run(&files), run_after(&mut assembler, &files));
        assert_eq!(fresh, after);
    }
}
