//! Sentences. Each is one sentence and names a team or a player, so that it is said of one game
//! alone; what stands in braces is a fact of the slate.

/// Beginnings.
pub(super) const HOOKS: [&str; 9] = [
    "{away} at {home}, and one number stands out.",
    "Before the {away} visit the {home}, look at this line.",
    "One prop from {away} at {home} deserves a second look.",
    "Here is the number to know for {away} at {home}.",
    "This is your quick read on {away} at {home}.",
    "There is a quiet line in {away} at {home}, and it is worth a moment.",
    "The {away} visit the {home}, and {player} is the name to know.",
    "For us, {away} at {home} comes down to one number.",
    "We have one pick for {away} at {home}, and it is about {player}.",
];

/// The pick itself.
pub(super) const PICKS: [&str; 8] = [
    "{player}, {side} {line} {stat}.",
    "The pick is {player}, {side} {line} {stat}.",
    "Our number is {line}, and we take {player} to go {side} in {stat}.",
    "We are on {player}, {side} {line} {stat}.",
    "{player} {feat}.",
    "The pick is {player} {feat}.",
    "We like {player} {feat}.",
    "Our pick from {away} at {home} is {player} {feat}.",
];

/// Ends, each with something to do.
pub(super) const CALLS: [&str; 10] = [
    "Tell us in the comments: over or under {line} for {player}?",
    "Which side of {line} are you on with {player}?",
    "Save this before the {away} meet the {home}, and follow for the next number.",
    "Follow for the next number, and tell us your side of {player}.",
    "If you agree on {player}, save this and follow for more.",
    "Give us your pick for {away} at {home}, and only play what you can lose.",
    "Follow along, and see how {player} does against {line}.",
    "Share this with someone who follows the {home}, and keep it fun.",
    "Comment with your pick from {away} at {home}.",
    "Would you back {player} or pass?",
];

/// What can be added to the pick.
pub(super) const PRICE: [&str; 4] = [
    "The {side} on {player} is priced at {price}.",
    "{player} to go {side} comes at {price}.",
    "{player} is {price} {feat}.",
    "The price on {player} is {price}.",
];
pub(super) const OTHER_PRICE: [&str; 2] = [
    "The other side of {player}, the {other}, is {other_price}.",
    "If you like the {other} on {player}, that is {other_price}.",
];
/// What can be added to the argument.
pub(super) const CHANCE: [&str; 2] = [
    "Without the bookmaker's margin, the market gives {player} a {chance} percent chance to go {side}.",
    "Take out the margin, and {player} goes {side} {chance} times in a hundred by the market's own numbers.",
];
pub(super) const BREAK_EVEN: [&str; 2] = [
    "At {price}, {player} has to come through {even} times in a hundred just to break even.",
    "A price of {price} means that {player} breaks even at {even} percent.",
];
/// What can be said of the game.
pub(super) const TOTAL: [&str; 3] = [
    "The total for {away} at {home} is {total}.",
    "The market expects {total} {unit} from the {away} and the {home} together.",
    "Put the {away} and the {home} together, and the total is {total}.",
];
pub(super) const SPREAD: [&str; 3] = [
    "The {favourite} are giving {spread} to the {underdog}.",
    "The {favourite} are favored over the {underdog} by {spread}.",
    "The {underdog} are getting {spread} from the {favourite}.",
];
pub(super) const START: [&str; 3] = [
    "The {away} visit the {home} on {weekday} at {clock}.",
    "{away} at {home} starts on {weekday} at {clock}.",
    "It is {weekday} at {clock} for the {away} and the {home}.",
];
/// What can be said of another prop.
pub(super) const OTHERS: [&str; 7] = [
    "Also on the board is {player}, at {line} {stat}.",
    "The {team} also have {player}, at {line} {stat}.",
    "Keep an eye on {player} as well, listed at {line} {stat}.",
    "{player} is listed at {line} {stat}.",
    "Also on the board is {player} {feat}, at {price}.",
    "You can also take {player} {feat}, at {price}.",
    "For the {team} there is {player} {feat}, at {price}.",
];
pub(super) const OTHER_PRICES: [&str; 2] = [
    "For {player} the over is {price} and the under is {other_price}.",
    "Going over with {player} is {price}, and under is {other_price}.",
];

/// Small words over the headline of a front slide.
pub(super) const FRONTS: [&str; 4] =
    ["Prop of the day", "Today's number", "One line to know", "The daily prop"];
/// Headlines of last slides.
pub(super) const ENDS: [&str; 4] =
    ["Your call", "Which side?", "What do you say?", "Agree or not?"];

/// What a part about the game says first; the last one needs no numbers.
pub(super) const MARKET: [&str; 8] = [
    "The {favourite} are favored over the {underdog} by {spread}, and the total is {total}.",
    "The market has the {favourite} by {spread} over the {underdog}, with a total of {total}.",
    "The {underdog} are getting {spread} from the {favourite}, and the total is {total}.",
    "The total for {away} at {home} stands at {total}.",
    "The {favourite} are giving {spread} to the {underdog} today.",
    "The market has {away} at {home} on the board.",
    "Here is how the market sees the {away} and the {home}.",
    "This is the market on {away} at {home}.",
];
/// What a part about the pick's price says first; the last one needs no price.
pub(super) const COSTS: [&str; 4] = [
    "At {price}, {player} breaks even at {even} percent.",
    "The price to remember for {player} is {price}.",
    "Before you back {player}, look at the price of {price}.",
    "Before you back {player}, look for the best price you can find.",
];
