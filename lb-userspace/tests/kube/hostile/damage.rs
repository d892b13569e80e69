//! What can be wrong, or only odd, with an object: each kind as a row with what is to become of it.

use serde_json::{Value, json};

/// Splitmix, so that a seed gives the same objects everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// What the tables are to hold of the Service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// Nothing.
    None,
    /// It, without endpoints.
    Empty,
    /// It, with its endpoint.
    Whole,
    /// It, with this many.
    Many(usize),
}

/// One kind of damage.
pub struct Damage {
    pub what: &'static str,
    /// The object that is damaged, and named if it is refused: the Service, or its EndpointSlice.
    pub of_slice: bool,
    /// Whether something of it is refused.
    pub refused: bool,
    pub row: Row,
    pub make: fn(&mut Value, &mut Random),
}

const fn service(
    what: &'static str,
    refused: bool,
    row: Row,
    make: fn(&mut Value, &mut Random),
) -> Damage {
    Damage { what, of_slice: false, refused, row, make }
}

const fn slice(
    what: &'static str,
    refused: bool,
    row: Row,
    make: fn(&mut Value, &mut Random),
) -> Damage {
    Damage { what, of_slice: true, refused, row, make }
}

/// Endpoints of the largest slices; each has a backend row.
pub const MANY: usize = 5000;
/// How many such slices there are: more would not fit the table.
pub const MOST_OF_MANY: usize = 3;

/// All kinds.
pub const ALL: &[Damage] = &[
    service("a port out of range", true, Row::None, |object, random| {
        port(object)["port"] = json!(random.one(&[0, -1, 65_536, 70_000, i32::MAX, i32::MIN]));
    }),
    service("a port beyond all integers", true, Row::None, |object, random| {
        let odd = [json!(1u64 << 40), json!(u64::MAX), json!(80.5), json!(-1e300)];
        port(object)["port"] = random.one(&odd);
    }),
    service("a port of another type", true, Row::None, |object, random| {
        let odd = [json!("http"), json!("80"), json!([80]), json!({}), json!(true), json!(null)];
        port(object)["port"] = random.one(&odd);
    }),
    service("no port number", true, Row::None, |object, _| {
        port(object).as_object_mut().unwrap().remove("port");
    }),
    service("an unknown protocol", true, Row::None, |object, random| {
        port(object)["protocol"] = json!(random.one(&["ICMP", "tcp", "TCP ", "\u{0}", "QUIC"]));
    }),
    service("a ClusterIP that is none", true, Row::None, |object, random| {
        let odd = ["10.96.0.300", "web", "10.96.0", "127.0.0.1", "224.0.0.1", "0.0.0.0", "fe80::1"];
        let odd = random.one(&odd);
        (spec(object)["clusterIP"], spec(object)["clusterIPs"]) = (json!(odd), json!([odd]));
    }),
    service("two ClusterIPs of one family", true, Row::Whole, |object, _| {
        let first = spec(object)["clusterIP"].clone();
        spec(object)["clusterIPs"] = json!([first, "10.96.255.254"]);
    }),
    service("unknown words", true, Row::None, |object, random| {
        let fields = [
            "type",
            "internalTrafficPolicy",
            "externalTrafficPolicy",
            "sessionAffinity",
            "ipFamilyPolicy",
        ];
        spec(object)[random.one(&fields)] = json!(random.one(&["Magic", "none", "LOCAL", "\n"]));
    }),
    service("an unknown address family", true, Row::None, |object, _| {
        spec(object)["ipFamilies"] = json!(["IPv5"]);
    }),
    service("an affinity that lasts no time or too long", true, Row::None, |object, random| {
        let seconds = random.one(&[0, -1, 86_401, i32::MAX]);
        spec(object)["sessionAffinity"] = json!("ClientIP");
        spec(object)["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
    }),
    service("a part of another type", true, Row::None, |object, random| {
        let odd = random.one(&[json!("x"), json!(7), json!([[]]), json!(true)]);
        let places = ["/spec", "/spec/ports", "/metadata/labels", "/metadata/annotations"];
        let place = random.one(&places);
        *object.pointer_mut(place).unwrap() = odd;
    }),
    service("no spec", true, Row::None, |object, random| {
        if random.below(2) == 0 {
            object["spec"] = json!(null);
        } else {
            object.as_object_mut().unwrap().remove("spec");
        }
    }),
    service("an annotation that is no text", true, Row::None, |object, random| {
        object["metadata"]["annotations"] = json!({"a": random.one(&[json!(5), json!({})])});
    }),
    service("an external address that is none", true, Row::Whole, |object, _| {
        spec(object)["externalIPs"] = json!(["somewhere"]);
    }),
    service("a NodePort out of range", true, Row::Whole, |object, random| {
        spec(object)["type"] = json!("NodePort");
        port(object)["nodePort"] = json!(random.one(&[-1, 65_536, 1 << 20]));
    }),
    service("the same port twice", true, Row::Whole, |object, _| {
        let again = port(object).clone();
        spec(object)["ports"].as_array_mut().unwrap().push(again);
    }),
    service("a source range that is none", true, Row::Whole, |object, _| {
        spec(object)["type"] = json!("LoadBalancer");
        spec(object)["loadBalancerSourceRanges"] = json!(["10.0.0.0/33"]);
    }),
    service("an unknown mode of an ingress", true, Row::Whole, |object, _| {
        spec(object)["type"] = json!("LoadBalancer");
        let ingress = json!([{"ip": "198.51.100.66", "ipMode": "Both"}]);
        object["status"] = json!({"loadBalancer": {"ingress": ingress}});
    }),
    service("a neighbour's ClusterIP", true, Row::Whole, |object, _| {
        object["metadata"]["creationTimestamp"] = json!("2026-06-01T00:00:00Z");
        let taken = json!(super::NEIGHBOUR_ADDRESS);
        (spec(object)["clusterIP"], spec(object)["clusterIPs"]) = (taken.clone(), json!([taken]));
    }),
    service("a huge annotation", false, Row::Whole, |object, random| {
        let huge = "x".repeat(1024 * (200 + random.below(56)));
        object["metadata"]["annotations"] = json!({"huge": huge, "empty": ""});
    }),
    service("fields nobody knows", false, Row::Whole, |object, _| {
        object["spec"]["futureField"] = json!({"deep": [[[[{"a": null}]]]], "n": 1e308});
        object["metadata"]["managedFields"] = json!([{"manager": "x", "fieldsV1": {"f:a": {}}}]);
        object["spec"]["ports"][0]["appProtocol"] = json!("kubernetes.io/h2c");
    }),
    service("labels at the edges", false, Row::Whole, |object, _| {
        let long = "a".repeat(63);
        object["metadata"]["labels"] = json!({
            "": "", "a": "", &long: &long, "x.y/z": "ä ☃ \u{0}\n",
            "service.kubernetes.io/service-proxy-nam": "x", "Service.kubernetes.io/headless": "",
        });
    }),
    service("no ports", false, Row::None, |object, random| {
        spec(object)["ports"] = random.one(&[json!(null), json!([])]);
    }),
    service("headless", false, Row::None, |object, _| {
        (spec(object)["clusterIP"], spec(object)["clusterIPs"]) = (json!("None"), json!(["None"]));
    }),
    service("a name elsewhere, with an address", false, Row::None, |object, _| {
        spec(object)["type"] = json!("ExternalName");
        spec(object)["externalName"] = json!("\u{0}..");
    }),
    slice("an unknown address type", true, Row::Empty, |object, random| {
        object["addressType"] = random.one(&[json!("IPX"), json!("ipv4"), json!(""), json!(4)]);
    }),
    slice("no address type", true, Row::Empty, |object, _| {
        object.as_object_mut().unwrap().remove("addressType");
    }),
    slice("an address of the wrong family", true, Row::Empty, |object, random| {
        let odd = ["fd00::7", "2001:db8::1"];
        endpoint(object)["addresses"] = json!([random.one(&odd)]);
    }),
    slice("a slice of the wrong family", true, Row::Empty, |object, _| {
        object["addressType"] = json!("IPv6");
    }),
    slice("an address that is none", true, Row::Empty, |object, random| {
        let odd = ["", "web", "10.1.2", "10.1.2.3/24", "127.0.0.1", "239.0.0.1", "0.0.0.0", "::1"];
        endpoint(object)["addresses"] = json!([random.one(&odd)]);
    }),
    slice("no address", true, Row::Empty, |object, _| {
        endpoint(object)["addresses"] = json!([]);
    }),
    slice("a port out of range", true, Row::Empty, |object, random| {
        object["ports"][0]["port"] = json!(random.one(&[-1, 65_536, i32::MAX]));
    }),
    slice("an unknown protocol", true, Row::Empty, |object, _| {
        object["ports"][0]["protocol"] = json!("QUIC");
    }),
    slice("a part of another type", true, Row::Empty, |object, random| {
        let odd = random.one(&[json!("x"), json!(7), json!(-0.5)]);
        let places =
            ["/endpoints", "/ports", "/endpoints/0/conditions/ready", "/endpoints/0/hints"];
        let place = random.one(&places);
        object["endpoints"][0]["hints"] = json!({});
        *object.pointer_mut(place).unwrap() = odd;
    }),
    slice("a node's name of another type", true, Row::Empty, |object, _| {
        endpoint(object)["nodeName"] = json!(7);
    }),
    slice("nobody's slice", true, Row::Empty, |object, random| {
        object["metadata"]["labels"] =
            random.one(&[json!({}), json!(null), json!({"kubernetes.io/service-name": ""})]);
    }),
    slice("a neighbour's slice without an address", true, Row::Empty, |object, _| {
        let neighbour = json!({"kubernetes.io/service-name": super::NEIGHBOUR});
        object["metadata"]["labels"] = neighbour;
        endpoint(object)["addresses"] = json!(["nowhere"]);
    }),
    slice("nothing at all", false, Row::Empty, |object, random| {
        object["endpoints"] = random.one(&[json!(null), json!([])]);
    }),
    slice("all ports", false, Row::Empty, |object, random| {
        let odd = [json!(null), json!([]), json!([{"name": "http", "port": null}])];
        object["ports"] = random.one(&odd);
    }),
    slice("domain names", false, Row::Empty, |object, _| {
        object["addressType"] = json!("FQDN");
        endpoint(object)["addresses"] = json!(["web.example"]);
    }),
    slice("conditions that nobody knows", false, Row::Whole, |object, random| {
        endpoint(object)["conditions"] =
            random.one(&[json!(null), json!({}), json!({"ready": null, "future": "x"})]);
    }),
    slice("hints that are none", false, Row::Whole, |object, random| {
        endpoint(object)["hints"] = random.one(&[
            json!(null),
            json!({}),
            json!({"forZones": []}),
            json!({"forZones": null}),
        ]);
    }),
    slice("the same address many times", false, Row::Whole, |object, random| {
        let again = endpoint(object).clone();
        object["endpoints"] = json!(vec![again; 2 + random.below(900)]);
    }),
    slice("thousands of endpoints", false, Row::Many(MANY), |object, random| {
        let first = random.below(200);
        let endpoints = (0..MANY).map(|number| {
            let address = format!("10.{}.{}.{}", 200 + first % 50, number / 250, number % 250 + 1);
            json!({"addresses": [address], "conditions": {"ready": true}})
        });
        object["endpoints"] = endpoints.collect();
    }),
];

fn spec(object: &mut Value) -> &mut Value {
    &mut object["spec"]
}

fn port(object: &mut Value) -> &mut Value {
    &mut object["spec"]["ports"][0]
}

fn endpoint(object: &mut Value) -> &mut Value {
    &mut object["endpoints"][0]
}
