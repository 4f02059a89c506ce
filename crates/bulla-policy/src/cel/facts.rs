//! Facts, as the interpreter takes them: only what an expression uses, and only in the shape that it was checked for.

use std::collections::{BTreeMap, HashMap};

use ::cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString};
use ::cel::common::value::Val;
use bulla::text::Quoted;
use serde_json::Value as Json;

use super::cost::Extent;
use super::{Shape, Used};

/// One fact, and how large it is.
pub(super) struct Fact<'f> {
    pub(super) value: Box<dyn Val + 'f>,
    pub(super) extent: Extent,
}

/// Everything that is used. What is missing is left out, or is an object without members: `has` can ask for it.
pub(super) fn load<'f>(
    used: &BTreeMap<String, Used>,
    facts: &'f Json,
) -> Result<BTreeMap<String, Fact<'f>>, String> {
    let mut loaded = BTreeMap::new();
    for (name, Used { shape, members }) in used {
        let fact = match facts.get(name).unwrap_or(&Json::Null) {
            Json::Null if matches!(shape, Shape::Object(_)) => {
                Fact { value: Box::new(CelMap::from(HashMap::new())), extent: Extent::scalar() }
            }
            Json::Null => continue,
            fact => load_one(name, fact, shape, members.as_deref())?,
        };
        loaded.insert(name.clone(), fact);
    }
    Ok(loaded)
}

/// A fact of a shape. Only the given members are looked at, if some are given.
fn load_one<'f>(
    name: &str,
    fact: &'f Json,
    shape: &Shape,
    only: Option<&[String]>,
) -> Result<Fact<'f>, String> {
    let scalar = |value: Box<dyn Val + 'f>| Fact { value, extent: Extent::scalar() };
    Ok(match (shape, fact) {
        (Shape::Bool, Json::Bool(value)) => scalar(Box::new(CelBool::from(*value))),
        (Shape::Int, Json::Number(number)) if !number.is_f64() => {
            let value = number.as_i64();
            let value = value.ok_or_else(|| format!("{name} is {number}, which is too large"))?;
            scalar(Box::new(CelInt::from(value)))
        }
        (Shape::Double, Json::Number(number)) => {
            let value = number.as_f64().filter(|value| value.is_finite());
            let value = value.ok_or_else(|| format!("{name} is {number}, which is no number"))?;
            scalar(Box::new(CelDouble::from(value)))
        }
        (Shape::Text, Json::String(text)) => Fact {
            value: Box::new(CelString::from(text.as_str())),
            extent: Extent::text(text.len() as u64),
        },
        (Shape::List(shape), Json::Array(elements)) => {
            let mut values = Vec::with_capacity(elements.len());
            let mut extent = Extent::list();
            let element_name = format!("an element of {name}");
            for element in elements {
                let fact = load_one(&element_name, element, shape, None)?;
                values.push(fact.value);
                extent.push(fact.extent);
            }
            Fact { value: Box::new(CelList::from(values)), extent }
        }
        (Shape::Map(shape), Json::Object(entries)) => {
            let mut loaded = Entries::default();
            for (key, value) in entries {
                let value_name = format!("{} in {name}", Quoted(key));
                loaded.add(key, load_one(&value_name, value, shape, None)?);
            }
            loaded.into_fact()
        }
        (Shape::Object(shapes), Json::Object(entries)) => {
            let mut loaded = Entries::default();
            for (key, value) in entries {
                let is_used = only.is_none_or(|only| only.contains(key));
                let Some(shape) = shapes.get(key).filter(|_| is_used && !value.is_null()) else {
                    continue;
                };
                loaded.add(key, load_one(&format!("{name}.{key}"), value, shape, None)?);
            }
            loaded.into_fact()
        }
        (shape, other) => return Err(format!("{name} is {}, expected {shape}", kind(other))),
    })
}

#[derive(Default)]
struct Entries<'f> {
    values: HashMap<CelMapKey<'f>, Box<dyn Val + 'f>>,
    extents: BTreeMap<String, Extent>,
}

impl<'f> Entries<'f> {
    fn add(&mut self, key: &'f str, fact: Fact<'f>) {
        self.values.insert(CelMapKey::String(CelString::from(key)), fact.value);
        self.extents.insert(key.to_owned(), fact.extent);
    }

    fn into_fact(self) -> Fact<'f> {
        Fact { value: Box::new(CelMap::from(self.values)), extent: Extent::map(self.extents) }
    }
}

fn kind(fact: &Json) -> &'static str {
    match fact {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number of another kind",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
