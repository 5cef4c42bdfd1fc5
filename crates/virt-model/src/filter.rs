//! The network filter document: rules for the packets of a guest's interface, and other filters it includes.

mod attributes;
mod value;

use virt_error::{Code, Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::{Element, parse_number};

use crate::domain::interface::FilterRef;
use crate::schema::shape::{self, Item};
use crate::schema::{Body, Document, Out, ParseFlags, Row, kinds};

pub use value::{Access, FilterValue, Variable};

element! {
    pub struct Filter {
        name: String = attr_odd("name"),
        /// Where among the rules of an interface this filter's stand: `root`, or a protocol's chain.
        chain: String = attr_odd("chain"),
        /// The order among chains; unless said, that of the chain's protocol.
        priority: Option<String> = attr_unless_zero("priority"),
        uuid: Option<Uuid> = uuid_or_xml_error("uuid", virt_error::Origin::Nwfilter),
        entries: Vec<Entry> = filter_entries(),
    }
}

/// One part of a filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Rule(Rule),
    /// Another filter, with values for its variables.
    Filter(FilterRef),
}

words! {
    pub enum Action {
        Drop = "drop",
        Accept = "accept",
        Reject = "reject",
        Return = "return",
        Continue = "continue",
    }
}

words! {
    /// From the guest's view.
    pub enum Direction {
        In = "in",
        Out = "out",
        Inout = "inout",
    }
}

/// What becomes of packets, and of which.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub action: Action,
    pub direction: Direction,
    pub priority: i32,
    /// Whether answers of a connection that was let through are let through too.
    pub statematch: bool,
    /// Which packets; of all where there is none.
    pub matching: Option<Match>,
}

/// Limit: libvirt's own, of rules and chains alike.
const PRIORITY_MAX: i32 = 1000;

/// What counts where a rule says no priority.
const PRIORITY_DEFAULT: i32 = 500;

/// Packets of a protocol whose fields are as these say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    pub protocol: &'static str,
    /// In libvirt's print order.
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub value: FilterValue,
    /// The packet's field must be something else.
    pub negated: bool,
}

impl Match {
    /// What must hold of a field.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Reads the elements of a rule. The first names the protocol; more of it add to its fields.
    fn read(rule: &Element<'_>) -> Result<Option<Self>> {
        let Some(protocol) = rule.elements().find_map(|e| attributes::protocol(&e.name)) else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        for attribute in attributes::attributes(protocol) {
            let of_protocol = rule.elements().filter(|e| e.name == protocol);
            let mut given = of_protocol.filter_map(|e| Some((e, e.attr(attribute.name)?)));
            let mut found = None;
            for (element, text) in given.by_ref() {
                let value = FilterValue::parse(attribute.kind, text);
                let illegal = || refused(format!("{} has illegal value {text}", attribute.name));
                let value = value.ok_or_else(illegal)?;
                let negated = element.attr("match") == Some("no");
                found = Some(Field { name: attribute.name, value, negated });
            }
            fields.extend(found);
        }
        let mut matching = Self { protocol, fields };
        matching.take_signs();
        matching.check_ports()?;
        Ok(Some(matching))
    }

    /// Gives fields that belong to another its sign.
    fn take_signs(&mut self) {
        for attribute in attributes::attributes(self.protocol) {
            let Some(leader) = attribute.sign_of else { continue };
            let negated = self.field(leader).is_some_and(|field| field.negated);
            let mut own = self.fields.iter_mut().filter(|field| field.name == attribute.name);
            own.by_ref().for_each(|field| field.negated = negated);
        }
    }

    fn check_ports(&self) -> Result<()> {
        let name = match self.protocol {
            "ip" => "IP",
            "ipv6" => "IPv6",
            _ => return Ok(()),
        };
        const WITH_PORTS: [u32; 4] = [6, 17, 33, 132];
        let has_ports = self.fields.iter().any(|field| field.name.contains("port"));
        let protocol = self.field("protocol").and_then(|field| match &field.value {
            FilterValue::Named(_, value) | FilterValue::Number { value, .. } => Some(*value),
            _ => None,
        });
        if has_ports && !protocol.is_some_and(|protocol| WITH_PORTS.contains(&protocol)) {
            return Err(refused(format!(
                "{name} rule with port specification requires protocol specification with protocol to be \
                 either one of tcp(6), udp(17), dccp(33), or sctp(132)"
            )));
        }
        Ok(())
    }

    fn write(&self, out: &mut Out) {
        for negated in [false, true] {
            let fields: Vec<&Field> = self.fields.iter().filter(|f| f.negated == negated).collect();
            let alone = !negated && self.fields.is_empty();
            if fields.is_empty() && !alone {
                continue;
            }
            out.w.open(self.protocol);
            if negated {
                out.w.attr("match", "no");
            }
            fields.iter().for_each(|field| out.w.attr(field.name, &field.value.print()));
            out.w.close(self.protocol);
        }
    }
}

fn refused(what: String) -> Error {
    Error::internal(Origin::Nwfilter, what)
}

impl Body for Rule {
    const ROWS: &'static [Row] = &[
        Row { kind: "attr", name: "action" },
        Row { kind: "attr", name: "direction" },
        Row { kind: "attr", name: "priority" },
        Row { kind: "attr", name: "statematch" },
    ];

    fn items() -> Vec<Item> {
        let items = vec![
            Item::attr::<Action>("action", true),
            Item::attr::<Direction>("direction", true),
            Item::attr::<i32>("priority", false),
        ];
        shape::amended::<Self>(items)
    }

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let priority = kinds::read_value::<i32>(element, "priority")?;
        let usable = |priority: &i32| (-PRIORITY_MAX..=PRIORITY_MAX).contains(priority);
        let stateless = element
            .attr("statematch")
            .is_some_and(|text| text == "0" || text.eq_ignore_ascii_case("false"));
        Ok(Self {
            action: kinds::attr_req::read(element, flags, "action")?,
            direction: kinds::attr_req::read(element, flags, "direction")?,
            priority: priority.filter(usable).unwrap_or(PRIORITY_DEFAULT),
            statematch: !stateless,
            matching: Match::read(element)?,
        })
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("action", self.action.as_str());
        out.w.attr("direction", self.direction.as_str());
        out.w.attr("priority", &self.priority.to_string());
        if !self.statematch {
            out.w.attr("statematch", "false");
        }
    }

    fn children(&self, out: &mut Out) {
        if let Some(matching) = &self.matching {
            matching.write(out);
        }
    }
}

/// The chain that every interface has.
const ROOT_CHAIN: &str = "root";

/// Chains of protocols by the start of their names, and the priorities they have unless told.
const CHAINS: &[(&str, i32)] = &[
    ("mac", -800),
    ("vlan", -750),
    ("stp", 0),
    ("arp", -500),
    ("rarp", -400),
    ("ipv4", -700),
    ("ipv6", -600),
];

/// Limit: the longest name of a chain that ebtables can take with libvirt's prefixes.
const CHAIN_BYTES_MAX: usize = 12;

impl Filter {
    /// The order of the filter's chain among the chains of an interface.
    pub fn chain_priority(&self) -> i32 {
        let said = self.priority.as_ref().and_then(|text| text.parse().ok());
        said.unwrap_or_else(|| default_priority(&self.chain))
    }

    fn check_chain(&self) -> Result<()> {
        let chain = &self.chain;
        if chain == ROOT_CHAIN {
            return Ok(());
        }
        let wrong = |what: String| Err(Error::new(Code::InvalidArg, Origin::Nwfilter, what));
        if chain.len() > CHAIN_BYTES_MAX {
            return wrong(format!("Name of chain is longer than {CHAIN_BYTES_MAX} characters"));
        }
        if !CHAINS.iter().any(|(start, _)| chain.starts_with(start)) {
            let known: Vec<&str> = CHAINS.iter().map(|(start, _)| *start).collect();
            return wrong(format!(
                "Invalid chain name '{chain}'. Please use a chain name called 'root' or any of the \
                 following prefixes: {}",
                known.join(", ")
            ));
        }
        if !chain.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c)) {
            return wrong("Chain name contains invalid characters".to_owned());
        }
        Ok(())
    }

    /// Compat: a priority of 0 is not printed, though a protocol's chain has another unless told.
    fn complete_priority(&mut self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(Code::InvalidArg, Origin::Nwfilter, what));
        let priority = match self.priority.as_ref().filter(|text| !text.is_empty()) {
            None => default_priority(&self.chain),
            Some(text) => match parse_number(text, 10).and_then(|n| i32::try_from(n).ok()) {
                None => return wrong(format!("Could not parse chain priority '{text}'")),
                Some(priority) if priority.abs() > PRIORITY_MAX => {
                    return wrong(format!(
                        "Priority '{priority}' is outside valid range of [-{PRIORITY_MAX},{PRIORITY_MAX}]"
                    ));
                }
                Some(priority) => priority,
            },
        };
        self.priority = Some(priority.to_string());
        Ok(())
    }
}

fn default_priority(chain: &str) -> i32 {
    CHAINS.iter().find(|(start, _)| chain.starts_with(start)).map_or(0, |(_, priority)| *priority)
}

impl Document for Filter {
    const ROOT: &'static str = "filter";
    const ORIGIN: Origin = Origin::Nwfilter;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        if self.name.is_empty() {
            return Err(refused("filter has no name".to_owned()));
        }
        if self.chain.is_empty() {
            self.chain = ROOT_CHAIN.to_owned();
        }
        self.check_chain()?;
        self.complete_priority()?;
        self.uuid.get_or_insert_with(Uuid::random);
        Ok(())
    }
}
