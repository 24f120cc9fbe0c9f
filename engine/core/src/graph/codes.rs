//! Codes of the faults that the graph check finds.

/// A stage that does not exist.
pub(crate) const UNKNOWN_STAGE: &str = "W101";
/// A reference to a node that does not exist.
pub(crate) const UNKNOWN_NODE: &str = "W102";
/// A reference to a port that its node does not have.
pub(crate) const UNKNOWN_PORT: &str = "W103";
/// A reference that cannot be read.
pub(crate) const BAD_REFERENCE: &str = "W104";
/// A producer's type that does not fit the consumer's.
pub(crate) const NOT_ASSIGNABLE: &str = "W105";
/// A required input that is not bound.
pub(crate) const MISSING_INPUT: &str = "W106";
/// An input that the stage does not have.
pub(crate) const UNKNOWN_INPUT: &str = "W107";
/// Nodes that wait for each other.
pub(crate) const CYCLE: &str = "W108";
/// A type name that is not declared.
pub(crate) const UNKNOWN_TYPE: &str = "W109";
/// A type that contains itself.
pub(crate) const RECURSIVE_TYPE: &str = "W110";
/// A field of `with` that the stage does not have.
pub(crate) const UNKNOWN_FIELD: &str = "W111";
/// A required field of `with` that is missing.
pub(crate) const MISSING_FIELD: &str = "W112";
/// A field of `with` that has the wrong type.
pub(crate) const BAD_FIELD: &str = "W113";
/// A template or expression that cannot be read.
pub(crate) const BAD_TEMPLATE: &str = "W114";
/// A name in a template that is not defined there.
pub(crate) const UNDEFINED_NAME: &str = "W115";
/// Outputs that do not suit the stage.
pub(crate) const BAD_OUTPUTS: &str = "W116";
/// A configuration that the stage refuses.
pub(crate) const STAGE_REFUSES: &str = "W117";
/// A value that does not have its parameter's type.
pub(crate) const BAD_DEFAULT: &str = "W118";
/// A `for_each` over something that is not a list, or `item` outside a fan-out.
pub(crate) const BAD_FAN_OUT: &str = "W119";
/// A field that the payload's type does not have.
pub(crate) const NO_SUCH_FIELD: &str = "W120";
/// A time zone that is not known.
pub(crate) const UNKNOWN_TIME_ZONE: &str = "W121";
/// A path that leaves its folder.
pub(crate) const PATH_ESCAPES: &str = "W122";
/// A template inside quotes of a shell command.
pub(crate) const QUOTED_IN_SHELL: &str = "W123";
/// A parameter that is not declared.
pub(crate) const UNKNOWN_PARAM: &str = "W124";
/// Two types or names that stand for the same thing.
pub(crate) const AMBIGUOUS: &str = "W125";
/// A pool, rate or secret that is not declared.
pub(crate) const UNDECLARED: &str = "W126";
/// Policies of a node that exclude each other.
pub(crate) const EXCLUDED: &str = "W127";
/// A fallback or probe that cannot stand for its node.
pub(crate) const BAD_STAND_IN: &str = "W128";
/// A secret where it would be seen.
pub(crate) const SECRET_SHOWN: &str = "W129";
/// A nested workflow that cannot be where it stands.
pub(crate) const BAD_WORKFLOW: &str = "W140";
/// A JSON Schema file that cannot be used.
pub(crate) const BAD_SCHEMA: &str = "W141";
/// A condition that does not suit the named type beside it, or that no value can meet.
pub(crate) const BAD_CONDITION: &str = "W142";
