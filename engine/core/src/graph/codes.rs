//! Codes of the faults that the graph check finds.

crate::diagnostic_codes! {
    /// A stage that does not exist.
    UNKNOWN_STAGE = "W101";
    /// A reference to a node that does not exist.
    UNKNOWN_NODE = "W102";
    /// A reference to a port that its node does not have.
    UNKNOWN_PORT = "W103";
    /// A reference that cannot be read.
    BAD_REFERENCE = "W104";
    /// A producer's type that does not fit the consumer's.
    NOT_ASSIGNABLE = "W105";
    /// A required input that is not bound.
    MISSING_INPUT = "W106";
    /// An input that the stage does not have.
    UNKNOWN_INPUT = "W107";
    /// Nodes that wait for each other.
    CYCLE = "W108";
    /// A type name that is not declared.
    UNKNOWN_TYPE = "W109";
    /// A type that contains itself.
    RECURSIVE_TYPE = "W110";
    /// A field of `with` that the stage does not have.
    UNKNOWN_FIELD = "W111";
    /// A required field of `with` that is missing.
    MISSING_FIELD = "W112";
    /// A field of `with` that has the wrong type.
    BAD_FIELD = "W113";
    /// A template or expression that cannot be read.
    BAD_TEMPLATE = "W114";
    /// A name in a template that is not defined there.
    UNDEFINED_NAME = "W115";
    /// Outputs that do not suit the stage.
    BAD_OUTPUTS = "W116";
    /// A configuration that the stage refuses.
    STAGE_REFUSES = "W117";
    /// A value that does not have its parameter's type.
    BAD_DEFAULT = "W118";
    /// A `for_each` over something that is not a list, or `item` outside a fan-out.
    BAD_FAN_OUT = "W119";
    /// A field that the payload's type does not have.
    NO_SUCH_FIELD = "W120";
    /// A time zone that is not known.
    UNKNOWN_TIME_ZONE = "W121";
    /// A path that leaves its folder.
    PATH_ESCAPES = "W122";
    /// A template inside quotes of a shell command.
    QUOTED_IN_SHELL = "W123";
    /// A parameter that is not declared.
    UNKNOWN_PARAM = "W124";
    /// Two types or names that stand for the same thing.
    AMBIGUOUS = "W125";
    /// A pool, rate or secret that is not declared.
    UNDECLARED = "W126";
    /// Policies of a node that exclude each other.
    EXCLUDED = "W127";
    /// A fallback or probe that cannot stand for its node.
    BAD_STAND_IN = "W128";
    /// A secret where it would be seen.
    SECRET_SHOWN = "W129";
    /// A configuration that hardly means what was meant.
    ODD_CONFIG = "W130";
    /// A nested workflow that cannot be where it stands.
    BAD_WORKFLOW = "W140";
    /// A JSON Schema file that cannot be used.
    BAD_SCHEMA = "W141";
    /// A condition that does not suit the named type beside it, or that no value can meet.
    BAD_CONDITION = "W142";
}
