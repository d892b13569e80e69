//! What could not be used, and why.

/// Part of the input that was refused. The rest of the input is used all the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rejection {
    /// The object, as `Service default/web`.
    pub object: String,
    /// The field's path, as `spec.ports[1].port`; empty if it is the object as a whole.
    pub field: String,
    /// What is wrong, as a sentence without a full stop.
    pub reason: String,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}: {}", self.object, self.reason)
        } else {
            write!(f, "{}: {}: {}", self.object, self.field, self.reason)
        }
    }
}
