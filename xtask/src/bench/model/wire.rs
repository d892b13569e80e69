//! How large the API server's objects are on the wire: JSON, as a watch sends it, with everything
//! that the control plane writes into them. Counted on objects of the usual shape, made here.

use serde_json::{Value, json};

const STAMP: &str = "2026-01-01T00:00:00Z";
const UID: &str = "3c9f7e52-8d14-4b6a-9e0f-5a7d21c4b8e3";
const NAMESPACE: &str = "team-checkout";
const SERVICE: &str = "payment-gateway";

/// Bytes of the news that an EndpointSlice with so many endpoints has changed.
pub fn slice_event(endpoints: usize) -> usize {
    event(slice(endpoints))
}

/// Bytes of a Service in a list.
pub fn service() -> usize {
    let metadata = metadata(
        SERVICE,
        json!({"app": SERVICE}),
        json!({}),
        &["f:internalTrafficPolicy", "f:ports", "f:selector", "f:sessionAffinity", "f:type"],
    );
    let service = json!({
        "metadata": metadata,
        "spec": {
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
            "selector": {"app": SERVICE},
            "clusterIP": "10.96.117.203", "clusterIPs": ["10.96.117.203"],
            "type": "ClusterIP", "sessionAffinity": "None",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    });
    service.to_string().len()
}

/// Bytes of a sign that a watch is alive.
pub fn bookmark() -> usize {
    let object = json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"resourceVersion": "184467440", "creationTimestamp": null},
        "endpoints": null, "ports": null, "addressType": "",
    });
    event(object)
}

fn event(object: Value) -> usize {
    json!({"type": "MODIFIED", "object": object}).to_string().len() + 1
}

fn slice(endpoints: usize) -> Value {
    let owner = json!([{
        "apiVersion": "v1", "kind": "Service", "name": SERVICE, "uid": UID,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let labels = json!({
        "app": SERVICE,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": SERVICE,
    });
    let extra = json!({
        "generateName": format!("{SERVICE}-"),
        "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": STAMP},
        "ownerReferences": owner,
    });
    let endpoint = |number: usize| {
        json!({
            "addresses": [format!("10.{}.{}.{}", 100 + number % 100, number % 200, 117)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {
                "kind": "Pod", "namespace": NAMESPACE,
                "name": format!("{SERVICE}-7d9c5b6f48-x{number:04}"), "uid": UID,
            },
            "nodeName": format!("ip-10-0-{}-117.eu-central-1.compute.internal", number % 200),
            "zone": "eu-central-1a",
        })
    };
    let fields = ["f:addressType", "f:endpoints", "f:ports"];
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata(&format!("{SERVICE}-x7k2p"), labels, extra, &fields),
        "addressType": "IPv4",
        "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
    })
}

fn metadata(name: &str, labels: Value, extra: Value, fields: &[&str]) -> Value {
    let owned: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({}))).collect();
    let mut metadata = json!({
        "name": name, "namespace": NAMESPACE, "uid": UID, "resourceVersion": "184467440",
        "generation": 27, "creationTimestamp": STAMP, "labels": labels,
        "managedFields": [{
            "manager": "kube-controller-manager", "operation": "Update", "time": STAMP,
            "apiVersion": "discovery.k8s.io/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {}, "f:ownerReferences": {}}, "f:x": owned},
        }],
    });
    if let (Value::Object(all), Value::Object(extra)) = (&mut metadata, extra) {
        all.extend(extra);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::{bookmark, service, slice_event};

    #[test]
    fn an_endpoint_has_the_same_size_in_every_slice() {
        let each = slice_event(5) - slice_event(4);
        assert_eq!(slice_event(9) - slice_event(8), each);
        assert!((200..600).contains(&each), "{each}");
    }

    #[test]
    fn sizes_are_those_of_usual_objects() {
        for (bytes, least, most) in
            [(slice_event(0), 500, 2_000), (service(), 500, 2_000), (bookmark(), 100, 400)]
        {
            assert!((least..most).contains(&bytes), "{bytes}");
        }
    }
}
