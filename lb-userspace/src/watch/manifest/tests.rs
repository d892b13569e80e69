use super::*;

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.10}\n";
const BAD_SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: db\nspec:\n  ports:\n  - port: 80\n  - port: http\n";

fn read(text: &str, format: Format) -> Result<Manifest, ManifestError> {
    Manifest::read(text, format, &Manifest::default())
}

fn names(manifest: &Manifest) -> Vec<String> {
    let name = |object: &Object| match object {
        Object::Service(draft) => format!("Service {}", draft.service.name),
        Object::Slice(slice) => format!("EndpointSlice {} of {}", slice.name, slice.service),
        Object::Endpoints(draft) => format!("Endpoints {}", draft.name),
        Object::Pod(pod) => format!("Pod {}/{}", pod.namespace, pod.name),
    };
    manifest.objects().map(name).collect()
}

fn rejections(manifest: &Manifest) -> Vec<String> {
    manifest.rejections("f.yaml").map(|rejection| rejection.to_string()).collect()
}

#[test]
fn every_kind_of_ours_is_found_among_many_documents() {
    let text = format!(
        "# a file as people write it\n---\n{SERVICE}---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: IPv4\nendpoints: []\n---\n\
         apiVersion: v1\nkind: Endpoints\nmetadata: {{name: db}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: web-0, namespace: shop}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\n---\n\
         apiVersion: example.com/v1\nkind: Service\nmetadata: {{name: other}}\n---\n\
         # nothing here\n---\n"
    );
    let manifest = read(&text, Format::Yaml).unwrap();
    let expected = [
        "Service default/web",
        "EndpointSlice web-1 of default/web",
        "Endpoints default/db",
        "Pod shop/web-0",
    ];
    assert_eq!(names(&manifest), expected);
    assert_eq!(rejections(&manifest), [""; 0]);
    let passed_over = [("apps/v1 Deployment", 1), ("example.com/v1 Service", 1)];
    assert_eq!(manifest.passed_over(), passed_over.into());
}

#[test]
fn lists_are_opened_whether_or_not_their_elements_say_what_they_are() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}]}
        {"apiVersion": "v1", "kind": "ServiceList", "items": [
        {"metadata": {"name": "c"}, "spec": {}}]}
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "items": [
        {"metadata": {"name": "d", "labels": {"kubernetes.io/service-name": "a"}},
         "addressType": "IPv6", "endpoints": []}]}"#;
    let expected = ["Service default/a", "Service default/c", "EndpointSlice d of default/a"];
    let manifest = read(list, Format::Json).unwrap();
    assert_eq!(names(&manifest), expected);
    assert_eq!(manifest.passed_over(), [("v1 Secret", 1)].into());
    let single =
        &list[..list.find("\n        {\"apiVersion\": \"v1\", \"kind\": \"ServiceList\"").unwrap()];
    assert_eq!(names(&read(single, Format::Yaml).unwrap()), expected[..1], "JSON is YAML");
}

#[test]
fn an_object_of_the_wrong_shape_is_rejected_alone_with_field_and_line() {
    let text =
        format!("{SERVICE}---\n{BAD_SERVICE}---\nkind: Service\nmetadata: {{name: x}}\n---\n42\n");
    let manifest = read(&text, Format::Yaml).unwrap();
    assert_eq!(names(&manifest), ["Service default/web"]);
    assert_eq!(
        rejections(&manifest),
        [
            "Service default/db: spec.ports[1].port: invalid type: string \"http\", expected i32 \
             (f.yaml, document 2, line 13)",
            "Object default/x: has no apiVersion or no kind (f.yaml, document 3, line 14)",
            "Object default/(without a name): has no apiVersion or no kind \
             (f.yaml, document 4, line 17)",
        ]
    );
}

#[test]
fn text_that_does_not_parse_spoils_the_file_and_says_where() {
    #[track_caller]
    fn check(text: &str, format: Format, place: (usize, usize)) {
        let error = read(text, format).unwrap_err();
        assert_eq!((error.document, error.line), place, "{error}");
        assert!(error.reason.contains(&format!("line {}", place.1)), "{error}");
    }
    check(&format!("{SERVICE}---\na: [1\nb: 2\n"), Format::Yaml, (2, 7));
    check("a: 1\n b: 2\n", Format::Yaml, (1, 2));
    check("a: 1\na: 2\n", Format::Yaml, (1, 2));
    check("{\"a\": 1}\n{\"b\" 1}\n", Format::Json, (2, 2));
    check("{\"a\": 1}\n{\"b\": \n", Format::Json, (2, 3));
}

#[test]
fn documents_whose_text_is_the_same_are_not_read_again() {
    let before = read(&format!("{SERVICE}---\n{BAD_SERVICE}"), Format::Yaml).unwrap();
    let other = SERVICE.replace("web", "new");
    let text = format!("{other}---\n{BAD_SERVICE}---\n{SERVICE}");
    let after = Manifest::read(&text, Format::Yaml, &before).unwrap();
    assert_eq!(names(&after), ["Service default/new", "Service default/web"]);
    let content =
        |manifest: &Manifest, index: usize| Arc::clone(&manifest.documents[index].content);
    assert!(Arc::ptr_eq(&content(&before, 1), &content(&after, 1)));
    assert!(rejections(&after)[0].ends_with("(f.yaml, document 2, line 13)"));
}
