//! Arbitrary messages of a type, and arbitrary bytes, from a seed: what nobody would type, among it what is there.

use std::collections::HashMap;

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use crate::security::widening::dice::Dice;

/// Messages within messages below this are left out.
const DEPTH_MAX: usize = 6;
const ITEMS_MAX: usize = 20;
const BYTES_MAX: usize = 300;

/// Texts that some parser, database, terminal, spreadsheet or mail program is known to trip over.
const TEXTS: [&str; 66] = [
    "",
    " ",
    "\0",
    "a\0b",
    "ann\0@people.example",
    "\r\n",
    "Ann\r\nBcc: all@people.example",
    "Ann\nX-Own: 1",
    "\t",
    "\u{1}\u{7f}\u{85}",
    "\u{2028}\u{2029}",
    "\u{202e}nnA",
    "\u{200b}",
    "\u{feff}Ann",
    "\u{fffd}",
    "\u{10ffff}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    "\"><img src=x>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{{ name",
    "%s%n%x",
    "%",
    "_",
    "100%_\\",
    "\\",
    "'",
    "'; DROP TABLE users; --",
    "../../etc/passwd",
    "\u{ff21}\u{ff4e}\u{ff4e}",
    "\u{17f}",
    "\u{130}i",
    "a\u{300}\u{301}\u{302}\u{303}",
    "\u{1f469}\u{200d}\u{1f467}",
    "@",
    "ann@",
    "@people.example",
    "ann@people",
    "ANN@PEOPLE.EXAMPLE",
    "ann+tag@people.example",
    "\"a b\"@people.example",
    "ann@m\u{fc}nchen.example",
    "ann@xn--mnchen-3ya.example",
    "ann@[127.0.0.1]",
    "ann@people.example.",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "{018f0000-0000-7000-8000-000000000000}",
    "urn:uuid:018f0000-0000-7000-8000-000000000000",
    "018f0000000070008000000000000000",
    "*",
    "shop.*",
    "shop.orders.read",
    "countersign.*",
    "countersign.roles.escalate",
    "countersign.platform.realms",
    "a.b.c.d.e.f.g.h.i.j",
    "a..b",
    "https://portal.example/",
    "javascript:alert(1)",
    "spiffe://portal.example/till",
    "eyJhbGciOiJub25lIn0.e30.",
    "-1",
];

/// Lengths at which something ends.
const LENGTHS: [usize; 9] = [63, 65, 129, 201, 254, 255, 1001, 4097, 65536];

const SMALL: [i32; 12] = [0, 1, -1, 2, 3, 50, 365, 1000, 1001, i32::MAX, i32::MIN, 1_000_000_000];

/// Among them the instants around which the years 1 and 9999 begin and end, and one of the year 2100.
const LARGE: [i64; 9] =
    [0, -1, i64::MAX, i64::MIN, -62_135_596_801, -62_135_596_800, 253_402_300_799, 253_402_300_800, 4_102_444_800];

/// Makes one message after the other.
pub(super) struct Arbitrary<'a> {
    dice: Dice,
    /// What is somewhere: ids, names, addresses.
    known: &'a [String],
}

impl<'a> Arbitrary<'a> {
    pub(super) fn new(seed: u64, known: &'a [String]) -> Self {
        Self { dice: Dice::new(seed), known }
    }

    /// A message of this type.
    pub(super) fn message(&mut self, of: &MessageDescriptor) -> DynamicMessage {
        self.nested(of, 0)
    }

    /// Bytes: of no message at all, or of one that something happened to.
    pub(super) fn bytes(&mut self, of: &MessageDescriptor) -> Vec<u8> {
        let mut bytes = if self.dice.chance(30) { vec![] } else { self.message(of).encode_to_vec() };
        if bytes.is_empty() {
            return (0..self.dice.below(BYTES_MAX)).map(|_| self.byte()).collect();
        }
        for _ in 0..=self.dice.below(3) {
            let at = self.dice.below(bytes.len());
            match self.dice.below(3) {
                0 => bytes[at] = self.byte(),
                1 => bytes.insert(at, self.byte()),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.dice.below(256)).unwrap()
    }

    fn nested(&mut self, of: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            if self.dice.chance(70)
                && let Some(value) = self.field(&field, depth)
            {
                message.set_field(&field, value);
            }
        }
        if of.full_name() == "google.protobuf.FieldMask" && self.dice.chance(80) {
            let paths = self.dice.few(self.known, ITEMS_MAX).into_iter().map(Value::String);
            message.set_field_by_name("paths", Value::List(paths.collect()));
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Option<Value> {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return None };
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let mut map = HashMap::new();
            for _ in 0..self.items() {
                let Some(Value::String(key)) = self.single(&key.kind(), depth) else { return None };
                map.insert(MapKey::String(key), self.single(&value.kind(), depth)?);
            }
            return Some(Value::Map(map));
        }
        if field.is_list() {
            let items = (0..self.items()).map(|_| self.single(&field.kind(), depth));
            return items.collect::<Option<_>>().map(Value::List);
        }
        self.single(&field.kind(), depth)
    }

    fn items(&mut self) -> usize {
        if self.dice.chance(80) { self.dice.below(3) } else { self.dice.below(ITEMS_MAX + 1) }
    }

    /// `None` = too deep.
    fn single(&mut self, kind: &Kind, depth: usize) -> Option<Value> {
        Some(match kind {
            Kind::Message(of) if depth < DEPTH_MAX => Value::Message(self.nested(of, depth + 1)),
            Kind::Message(_) => return None,
            Kind::Enum(of) => Value::EnumNumber(self.number(of)),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.text().into_bytes().into()),
            Kind::Bool => Value::Bool(self.dice.chance(50)),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(*self.dice.pick(&SMALL)),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(self.dice.pick(&SMALL).cast_unsigned()),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(self.large()),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(self.large().cast_unsigned()),
            Kind::Float => Value::F32(*self.dice.pick(&[0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX])),
            Kind::Double => Value::F64(*self.dice.pick(&[0.0, -1.0, f64::NAN, f64::INFINITY, f64::MAX])),
        })
    }

    fn large(&mut self) -> i64 {
        if self.dice.chance(50) { i64::from(*self.dice.pick(&SMALL)) } else { *self.dice.pick(&LARGE) }
    }

    /// A value of an enum, or a number that is none.
    fn number(&mut self, of: &EnumDescriptor) -> i32 {
        let values: Vec<_> = of.values().map(|value| value.number()).collect();
        if self.dice.chance(80) { *self.dice.pick(&values) } else { *self.dice.pick(&SMALL) }
    }

    fn text(&mut self) -> String {
        match self.dice.below(100) {
            0..55 => self.dice.pick(self.known).clone(),
            55..95 => (*self.dice.pick(&TEXTS)).to_owned(),
            _ => {
                let part = *self.dice.pick(&["a", "a.", "\u{e9}", "\n", "\u{1f469}", "1", "@"]);
                part.repeat(*self.dice.pick(&LENGTHS) / part.len())
            }
        }
    }
}

/// The names of the fields of a type, as a mask names them: those of messages within it too.
pub(super) fn paths(of: &MessageDescriptor) -> Vec<String> {
    let mut paths = vec![];
    for field in of.fields() {
        if let Kind::Message(inner) = field.kind() {
            paths.extend(inner.fields().map(|within| format!("{}.{}", field.name(), within.name())));
        }
        paths.push(field.name().to_owned());
    }
    paths
}
