//! What is large and changes rarely: read once, shown in every pass, copied in none.
//!
//! A catalogue of some hundred tables goes through a Snapshot every second. It is the same until its collector runs again,
//! so a Snapshot holds it by reference and is still plain data when it is stored.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that copies of a Snapshot share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Of a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Clone> Shared<T> {
    /// To change it; what others see stays as it is.
    pub fn to_change(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Shared<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_stored_as_what_it_holds_and_a_change_stays_with_its_owner() {
        let mut one = Shared::new(vec![1, 2]);
        let other = one.clone();
        one.to_change().push(3);
        assert_eq!((one.len(), other.len()), (3, 2));
        assert_eq!(serde_json::to_string(&one).expect("writes"), "[1,2,3]");
        assert_eq!(
            serde_json::from_str::<Shared<Vec<i32>>>("[1,2,3]").expect("reads"),
            one
        );
    }
}
