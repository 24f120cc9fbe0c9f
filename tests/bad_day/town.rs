//! All services of a day, each a server of its own with its own bad luck.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::purchase::Purchase;

use crate::services::balldontlie::BallDontLie;
use crate::services::elevenlabs::ElevenLabs;
use crate::services::flux::Flux;
use crate::services::gemini::Gemini;
use crate::services::goatedbets::GoatedBets;
use crate::services::openai::OpenAiSpeech;
use crate::services::openai_images::OpenAiImages;
use crate::services::server::Weather;
use crate::services::webhook::Webhook;
use crate::services::{Api, Asked, Reply, Server, Trouble, anthropic::Anthropic};

/// What goes wrong with a request on a bad day.
const TROUBLES: [Trouble; 11] = [
    Trouble::Status(500),
    Trouble::Status(502),
    Trouble::Status(503),
    Trouble::TooMany(0),
    Trouble::TooManyUntil(1),
    Trouble::Reset,
    Trouble::Lost,
    Trouble::Cut,
    Trouble::Html,
    Trouble::BrokenJson,
    // Longer than a call may take.
    Trouble::Silence(4_000),
];

/// How long a try of a call may take, in the settings of the services.
const TIMEOUT: &str = "3s";

/// The size of the pictures that are bought: smaller than usual, since the servers make them slowly.
const PICTURE: &str = "544x960";

/// Speech and pictures of one service, under one address.
struct OpenAi {
    speech: OpenAiSpeech,
    images: OpenAiImages,
}

impl Api for OpenAi {
    fn answer(&self, asked: &Asked, base: &str) -> Reply {
        match asked.path.starts_with("/v1/audio") {
            true => self.speech.answer(asked, base),
            false => self.images.answer(asked, base),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        self.images.failure(status)
    }
}

/// The services of one day.
pub(crate) struct Town {
    servers: Vec<(&'static str, Server)>,
    webhook: Webhook,
}

impl Town {
    /// Opens all services. Of 100 requests, `percent` meet trouble.
    pub(crate) fn start(seed: u64, percent: u64) -> Self {
        let webhook = Webhook::default();
        let servers = vec![
            ("goatedbets", Server::start(GoatedBets { games: 4, ..GoatedBets::default() })),
            ("balldontlie", Server::start(BallDontLie { games: 4, ..BallDontLie::default() })),
            ("anthropic", Server::start(Anthropic::default())),
            ("gemini", Server::start(Gemini::default())),
            ("elevenlabs", Server::start(ElevenLabs::default())),
            (
                "openai",
                Server::start(OpenAi {
                    speech: OpenAiSpeech::default(),
                    images: OpenAiImages::default(),
                }),
            ),
            ("flux", Server::start(Flux::default())),
            ("webhook", Server::start(webhook.clone())),
        ];
        for (at, (_, server)) in servers.iter().enumerate() {
            server.weather(Weather::new(seed * 31 + at as u64, percent, &TROUBLES));
        }
        Self { servers, webhook }
    }

    /// The parameter `services` of the workflow: where they are, and six tries of each call.
    pub(crate) fn services(&self) -> Value {
        let setting = |(name, server): &(&str, Server)| {
            let path = if *name == "webhook" { "/hook" } else { "" };
            let settings = json!({"base_url": server.url() + path, "attempts": 6, "base": "20ms",
                                  "max": "1s", "timeout": TIMEOUT, "size": PICTURE});
            ((*name).to_owned(), settings)
        };
        Value::Object(self.servers.iter().map(setting).collect())
    }

    /// Other parameters of the workflow.
    pub(crate) fn params(&self) -> [(&'static str, &'static str); 1] {
        [("targets", "[\"webhook\"]")]
    }

    /// The keys of the services, by variable.
    pub(crate) fn keys(&self) -> [(&'static str, &'static str); 8] {
        [
            ("GOATEDBETS_API_KEY", "test-key"),
            ("BALLDONTLIE_API_KEY", "test-key"),
            ("ANTHROPIC_API_KEY", "test-key"),
            ("GEMINI_API_KEY", "test-key"),
            ("ELEVENLABS_API_KEY", "test-key"),
            ("OPENAI_API_KEY", "test-key"),
            ("BFL_API_KEY", "test-key"),
            ("WEBHOOK_SECRET", "test-key"),
        ]
    }

    /// The services that take money.
    fn paid(&self) -> impl Iterator<Item = &(&'static str, Server)> {
        let paid = ["anthropic", "gemini", "elevenlabs", "openai", "flux"];
        self.servers.iter().filter(move |(name, _)| paid.contains(name))
    }

    /// What has been asked of each of them so far.
    pub(crate) fn asked(&self) -> HashMap<&'static str, usize> {
        self.paid().map(|(name, server)| (*name, server.ledger().len())).collect()
    }

    /// What was paid for: requests whose answer went out whole to somebody who was there for it.
    pub(crate) fn bought(&self) -> Vec<Purchase> {
        let of = |(name, server): &(&'static str, Server)| {
            let ledger = server.ledger().into_iter().enumerate();
            let served = ledger.filter(|(_, asked)| asked.method == "POST" && asked.is_served());
            served.map(|(at, asked)| Purchase::of(name, at, &asked)).collect::<Vec<_>>()
        };
        self.paid().flat_map(of).collect()
    }

    /// News that the webhook took more than once.
    pub(crate) fn posted_twice(&self) -> usize {
        let posts = self.webhook.posts();
        let distinct: HashSet<&String> = posts.iter().collect();
        posts.len() - distinct.len()
    }

    pub(crate) fn requests(&self) -> usize {
        self.servers.iter().map(|(_, server)| server.ledger().len()).sum()
    }

    pub(crate) fn troubles(&self) -> usize {
        let troubled =
            |server: &Server| server.ledger().iter().filter(|a| a.trouble.is_some()).count();
        self.servers.iter().map(|(_, server)| troubled(server)).sum()
    }
}
