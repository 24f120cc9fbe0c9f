//! The codes of faults that a workflow file's own form can have. A code is never given another
//! meaning; `W001` to `W099` are this crate's, higher ones belong to the check of the whole graph.

flow_core::diagnostic_codes! {
    /// The file is not UTF-8 text.
    NOT_UTF8 = "W001";
    /// The file is larger than 64 MiB.
    TOO_LARGE = "W002";
    /// The text is not TOML.
    SYNTAX = "W003";
    /// A key or table is defined twice.
    DUPLICATE_KEY = "W004";
    /// Tables and lists nest too deep.
    TOO_DEEP = "W005";
    /// An integer does not fit 64 bits.
    INTEGER_OVERFLOW = "W006";
    /// A number is not finite: `nan`, `inf`, or beyond what a double can hold.
    NOT_FINITE = "W007";
    /// A key has no meaning where it stands.
    UNKNOWN_KEY = "W008";
    /// A key belongs to the language but not to this version.
    NOT_IN_THIS_VERSION = "W009";
    /// A key is the word of another tool for something that has another name here.
    FOREIGN_KEY = "W010";
    /// A value has the wrong TOML type.
    WRONG_TYPE = "W011";
    /// A required key or table is missing.
    MISSING_KEY = "W012";
    /// A text that must say something is empty.
    EMPTY = "W013";
    /// The name of a node breaks the rule for node names.
    NODE_NAME = "W014";
    /// The name of a parameter, type, field, port or tool breaks its rule.
    IDENTIFIER = "W015";
    /// A type is not written as a type.
    TYPE_SYNTAX = "W016";
    /// A condition does not apply to the type beside it.
    CONSTRAINT_MISFIT = "W017";
    /// A condition can never hold or cannot be understood.
    CONSTRAINT_VALUE = "W018";
    /// A default or an allowed value does not have the declared type.
    VALUE_TYPE = "W019";
    /// A type has the name of a built-in type.
    BUILT_IN_TYPE = "W021";
    /// The fields of a record stand outside its `fields` table.
    FIELDS_OUTSIDE = "W022";
    /// A text is not a duration.
    DURATION = "W023";
    /// A number is outside its range.
    OUT_OF_RANGE = "W024";
    /// A word is not one of those that are allowed here.
    UNKNOWN_WORD = "W025";
    /// A condition of `retry.on` is not known.
    RETRY_CONDITION = "W026";
    /// An input or output is not bound to anything that can be read.
    BINDING = "W027";
    /// A template or braces stand where a plain reference or expression is wanted.
    BRACES = "W028";
    /// A path leaves the folder that it must stay in.
    PATH = "W029";
    /// Two keys exclude each other.
    CONFLICT = "W030";
    /// A key has no effect without another one. A warning.
    NO_EFFECT = "W031";
    /// The time zone is not known.
    TIMEZONE = "W032";
    /// A block such as `{% for %}` is plain text here. A warning.
    BLOCK_SYNTAX = "W033";
    /// Nodes are written as a list.
    NODES_AS_LIST = "W034";
    /// A text is not a rate.
    RATE = "W035";
    /// The file of a JSON Schema cannot be read.
    SCHEMA_FILE = "W045";
    /// A workflow file inside another one cannot be read, or contains itself.
    NESTED_FILE = "W050";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_distinct_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(ALL.iter().all(|(code, meaning)| code.len() == 4 && !meaning.trim().is_empty()));
    }
}
