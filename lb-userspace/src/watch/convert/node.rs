//! The own Node.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{Node as Object, NodeSpec, NodeStatus};

use super::{Converted, Notes, each, value};
use crate::watch::news::NodeNews;

/// The zone that topology hints name.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Set by the cluster autoscaler on a node that it is about to drain and delete.
const REMOVAL_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Converts a Node.
pub fn node(object: &Object) -> Converted<NodeNews> {
    let mut notes = Notes::of_cluster("Node", &object.metadata);
    let labels = object.metadata.labels.as_ref();
    let zone = labels.and_then(|labels| labels.get(ZONE_LABEL)).filter(|zone| !zone.is_empty());
    let is_leaving = object.metadata.deletion_timestamp.is_some() || tainted(object.spec.as_ref());
    let news = NodeNews {
        zone: zone.map(|zone| Arc::from(zone.as_str())),
        internal_ips: internal_ips(object.status.as_ref(), &mut notes),
        eligible: !is_leaving,
        exists: true,
    };
    (Some(news), notes.rejections)
}

fn tainted(spec: Option<&NodeSpec>) -> bool {
    each(spec.and_then(|spec| spec.taints.as_ref())).any(|(_, taint)| taint.key == REMOVAL_TAINT)
}

fn internal_ips(status: Option<&NodeStatus>, notes: &mut Notes) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for (i, address) in each(status.and_then(|status| status.addresses.as_ref())) {
        if address.type_ == "InternalIP" {
            let field = format!("status.addresses[{i}].address");
            found.extend(notes.check(field, value::address(&address.address)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(object: Value, expected: NodeNews) {
        let object = serde_json::from_value(object).unwrap();
        assert_eq!(node(&object), (Some(expected), Vec::new()));
    }

    fn plain() -> NodeNews {
        NodeNews { zone: None, internal_ips: Vec::new(), eligible: true, exists: true }
    }

    #[test]
    fn the_zone_is_a_label() {
        let with = |zone| json!({"metadata": {"name": "n1", "labels": {ZONE_LABEL: zone}}});
        check(with("a"), NodeNews { zone: Some("a".into()), ..plain() });
        check(with(""), plain());
        check(json!({"metadata": {"name": "n1"}}), plain());
    }

    #[test]
    fn internal_addresses_are_taken_in_their_order() {
        let addresses = json!([
            {"type": "Hostname", "address": "n1"},
            {"type": "InternalIP", "address": "192.0.2.7"},
            {"type": "ExternalIP", "address": "198.51.100.7"},
            {"type": "InternalIP", "address": "2001:db8::7"},
        ]);
        let internal_ips = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse().unwrap()).into();
        check(
            json!({"metadata": {"name": "n1"}, "status": {"addresses": addresses}}),
            NodeNews { internal_ips, ..plain() },
        );
    }

    #[test]
    fn a_node_on_its_way_out_is_not_eligible() {
        let leaving = NodeNews { eligible: false, ..plain() };
        let deleted = json!({"name": "n1", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        check(json!({"metadata": deleted}), leaving.clone());
        let with = |key| {
            let taints = json!([{"key": key, "effect": "NoSchedule"}]);
            json!({"metadata": {"name": "n1"}, "spec": {"taints": taints}})
        };
        check(with(REMOVAL_TAINT), leaving);
        check(with("node.kubernetes.io/unschedulable"), plain());
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let status = json!({"addresses": [{"type": "InternalIP", "address": "n1"}]});
        let object = json!({"metadata": {"name": "n1"}, "status": status});
        let (news, rejections) = node(&serde_json::from_value(object).unwrap());
        assert_eq!(news, Some(plain()));
        let lines: Vec<_> = rejections.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["Node n1: status.addresses[0].address: `n1` is not an IP address"]);
    }
}
