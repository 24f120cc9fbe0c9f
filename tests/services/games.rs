//! The games that all servers of data know: invented players on real teams, two props each.

/// A team: full name, city, nickname, abbreviation.
pub type Team = (&'static str, &'static str, &'static str, &'static str);

pub const TEAMS: [Team; 8] = [
    ("Buffalo Bills", "Buffalo", "Bills", "BUF"),
    ("Miami Dolphins", "Miami", "Dolphins", "MIA"),
    ("New York Jets", "New York", "Jets", "NYJ"),
    ("New England Patriots", "New England", "Patriots", "NE"),
    ("Dallas Cowboys", "Dallas", "Cowboys", "DAL"),
    ("Green Bay Packers", "Green Bay", "Packers", "GB"),
    ("Chicago Bears", "Chicago", "Bears", "CHI"),
    ("Detroit Lions", "Detroit", "Lions", "DET"),
];

/// A game of the day: it begins at 18:00 UTC.
#[derive(Debug, Clone, Copy)]
pub struct Game {
    pub id: i64,
    pub away: Team,
    pub home: Team,
    pub spread: f64,
    pub total: f64,
}

/// A prop: player's id, first and last name, place of the team (0 away, 1 home), statistic, line.
pub type Prop = (i64, &'static str, &'static str, usize, &'static str, f64);

const NAMES: [(&str, &str); 8] = [
    ("Marcus", "Dalen"),
    ("Trey", "Halvorsen"),
    ("Jonas", "Whitlock"),
    ("Dario", "Venn"),
    ("Caleb", "Orsett"),
    ("Milo", "Brandt"),
    ("Theo", "Lindqvist"),
    ("Andre", "Castell"),
];

/// The first `count` games, at most four.
pub fn games(count: usize) -> Vec<Game> {
    let game = |at: usize| Game {
        id: 7001 + at as i64,
        away: TEAMS[2 * at],
        home: TEAMS[2 * at + 1],
        spread: -2.5 - at as f64,
        total: 44.5 + at as f64,
    };
    (0..count.min(4)).map(game).collect()
}

/// The props of a game.
pub fn props(game: &Game) -> Vec<Prop> {
    let at = usize::try_from(game.id - 7001).unwrap_or_default();
    let (a, b) = (NAMES[2 * at], NAMES[2 * at + 1]);
    vec![
        (100 * game.id, a.0, a.1, 0, "passing_yards", 240.5 + at as f64),
        (100 * game.id + 1, b.0, b.1, 1, "receiving_yards", 61.5 + at as f64),
    ]
}

/// The abbreviation of a prop's team.
pub fn team_of(game: &Game, prop: &Prop) -> &'static str {
    if prop.3 == 0 { game.away.3 } else { game.home.3 }
}
