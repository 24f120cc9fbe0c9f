//! Slides over pictures of a ComfyUI server, with a graph of the user's own.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::harness::{Done, Place, kill_9, wait_until};
use super::services::comfyui::{ComfyUi, Ending};
use super::services::pictures::Picture;
use super::services::{Server, Trouble};
use super::services_pictures::idea;

const WORKFLOW: &str = r#"
[params]
services = { type = "json" }
idea = { type = "json" }
[secrets]
comfyui_key = { env = "COMFYUI_API_KEY", optional = true }
[nodes.idea]
stage = "jq"
inputs = { idea = "params.idea" }
with = { filter = "." }
outputs = { idea = "IdeaPackage" }
[nodes.slides]
stage = "media.slides"
inputs = { idea = "idea.idea" }
uses = ["graph.json"]
retry = { attempts = 1 }
with = { providers = ["comfyui"], services = "{{ params.services }}", keys = { comfyui = "{{ secrets.comfyui_key }}" } }
"#;

fn graph() -> Value {
    json!({
        "3": {"class_type": "KSampler", "inputs": {"seed": "%seed%", "steps": 20, "cfg": 7, "sampler_name": "euler",
              "scheduler": "normal", "denoise": 1, "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0],
              "latent_image": ["5", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sample.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": "%width%", "height": "%height%", "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "%prompt%, photograph", "clip": ["4", 1]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "flow", "images": ["8", 0]}},
    })
}

fn place() -> Place {
    let place = Place::with(WORKFLOW);
    place.write("graph.json", &graph().to_string());
    place
}

fn start(place: &Place, server: &Server) -> Command {
    let settings = json!({"base_url": server.url(), "base": "1ms", "poll": "20ms", "graph": "graph.json",
                          "size": "512x768"});
    let services = format!("services={}", json!({"comfyui": settings}));
    let idea = format!("idea={}", idea("one", "A helmet"));
    let args = [
        "-v",
        "run",
        "flow.toml",
        "--run-id",
        "one",
        "--json",
        "--param",
        &services,
        "--param",
        &idea,
    ];
    let mut command = place.command(&args);
    command.env_remove("COMFYUI_API_KEY");
    command
}

fn run(place: &Place, server: &Server) -> Done {
    place.finish(start(place, server))
}

fn asset(place: &Place) -> Value {
    place.flow(&["output", "one", "slides.package"]).exits(0).json()["assets"][0].clone()
}

/// The failure of the slides.
fn error(place: &Place) -> Value {
    let shown = place.show("one");
    let nodes = shown["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["id"] == "slides").unwrap()["error"].clone()
}

#[test]
fn a_graph_is_filled_in_followed_and_fetched() {
    let server = Server::start(ComfyUi { pending: 2, followed: true, ..ComfyUi::default() });
    server.order([Some(Trouble::Status(503))]);
    let place = place();
    let lines = run(&place, &server).exits(0).lines();
    let told: Vec<&Value> =
        lines.iter().filter(|l| l["event"] == "progress" && l["unit"] == "steps").collect();
    assert!(told.iter().any(|l| l["done"] == 10.0 && l["total"] == 20.0), "{told:?}");
    let asset = asset(&place);
    assert_eq!(
        (&asset["provider"], &asset["model"]),
        (&json!("comfyui"), &json!("sample.safetensors"))
    );
    let orders = server.asked("POST", "/prompt");
    assert_eq!(orders.len(), 1);
    let order = orders[0].json();
    let sent = &order["prompt"];
    assert_eq!(sent["3"]["inputs"]["seed"], asset["seed"]);
    assert_eq!(sent["5"]["inputs"]["width"], 512);
    assert!(sent["6"]["inputs"]["text"].as_str().unwrap().starts_with("A helmet"), "{sent}");
    assert_eq!(order["prompt_id"].as_str().map(str::len), Some(36));
    let followed = server.asked("GET", "/view");
    assert_eq!(followed[0].param("subfolder"), Some("flow"));
}

#[test]
fn a_key_goes_along_for_what_stands_in_front_of_the_server() {
    let server = Server::start(ComfyUi::default());
    let place = place();
    let mut command = start(&place, &server);
    command.env("COMFYUI_API_KEY", "test-key");
    place.finish(command).exits(0);
    let ledger = server.ledger();
    assert!(ledger.iter().all(|asked| asked.header("authorization") == Some("Bearer test-key")));
}

#[test]
fn a_socket_that_breaks_off_costs_nothing() {
    let server = Server::start(ComfyUi { pending: 3, breaks_off: true, ..ComfyUi::default() });
    let place = place();
    run(&place, &server).exits(0);
    assert_eq!(asset(&place)["provider"], "comfyui");
}

#[test]
fn a_killed_run_goes_on_with_the_job_that_it_has_put_into_the_queue() {
    for is_old in [false, true] {
        let server = Server::start(ComfyUi { pending: 150, is_old, ..ComfyUi::default() });
        let place = place();
        let mut child = start(&place, &server).stdout(Stdio::null()).spawn().unwrap();
        // The first looks ask whether the job is there already.
        wait_until("the job is looked at", || {
            let jobs = server.ledger();
            let at = jobs.iter().position(|asked| asked.method == "POST");
            at.is_some_and(|at| jobs[at..].iter().any(|asked| asked.path.starts_with("/history/")))
        });
        kill_9(&mut child);
        place.flow(&["resume", "one"]).exits(0);
        assert_eq!(server.asked("POST", "/prompt").len(), 1, "old: {is_old}");
    }
}

#[test]
fn a_job_whose_answer_was_lost_is_not_put_into_the_queue_again() {
    let server = Server::start(ComfyUi::default());
    // Two looks before: the history and the queue.
    server.order([None, None, Some(Trouble::Lost)]);
    let place = place();
    run(&place, &server).exits(0);
    assert_eq!(server.asked("POST", "/prompt").len(), 1);
}

#[test]
fn a_graph_that_is_refused_names_the_node() {
    for lenient in [false, true] {
        let server = Server::start(ComfyUi {
            unknown_sampler: Some("nonesuch"),
            lenient,
            ..ComfyUi::default()
        });
        let place = place();
        place.write("graph.json", &graph().to_string().replace("euler", "nonesuch"));
        run(&place, &server).exits(1);
        let error = error(&place);
        assert_eq!(
            (&error["class"], &error["kind"]),
            (&json!("config"), &json!("media_generation"))
        );
        assert_eq!(error["message"], "comfyui refused the graph at node 3 (KSampler)");
        assert!(error["causes"].to_string().contains("Value not in list: sampler_name"), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("export it again"), "{error}");
        assert_eq!(server.asked("POST", "/prompt").len(), 1);
    }
}

#[test]
fn each_end_that_is_no_picture_has_its_class_and_its_way_out() {
    let ends = |ending| ComfyUi { ending, ..ComfyUi::default() };
    for (server, class, message, hint) in [
        (ends(Ending::Fails), "http_5xx", "node 3 (KSampler) failed at comfyui", "size"),
        (
            ends(Ending::Interrupted),
            "rejected",
            "the job was interrupted at comfyui",
            "flow resume",
        ),
        (
            ends(Ending::Forgotten),
            "http_5xx",
            "comfyui does not know the job any longer",
            "flow resume",
        ),
        (ends(Ending::Never), "timeout", "the job has not ended within 300ms", "poll_timeout"),
        (
            ComfyUi { picture: Picture::Tiny, ..ComfyUi::default() },
            "malformed",
            "the picture of comfyui has 1×1 pixels",
            "size",
        ),
    ] {
        let server = Server::start(server);
        let place = place();
        let mut command = start(&place, &server);
        if class == "timeout" {
            let settings = json!({"base_url": server.url(), "graph": "graph.json", "poll": "20ms", "poll_timeout": "300ms"});
            command.arg("--param").arg(format!("services={}", json!({"comfyui": settings})));
        }
        place.finish(command).exits(1);
        let error = error(&place);
        assert_eq!((&error["class"], &error["provider"]), (&json!(class), &json!("comfyui")));
        assert!(error["message"].as_str().unwrap().starts_with(message), "{error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
        assert_eq!(error["request_id"].as_str().map(str::len), Some(36), "{error}");
    }
}

#[test]
fn a_resumed_run_puts_a_job_that_was_interrupted_into_the_queue_again() {
    let server = Server::start(ComfyUi { first: Some(Ending::Interrupted), ..ComfyUi::default() });
    let place = place();
    run(&place, &server).exits(1);
    place.flow(&["resume", "one"]).exits(0);
    assert_eq!(server.asked("POST", "/prompt").len(), 2);
    assert_eq!(asset(&place)["provider"], "comfyui");
}

#[test]
fn a_graph_of_another_form_is_told_before_anything_is_sent() {
    let server = Server::start(ComfyUi::default());
    let no_prompt = graph().to_string().replace("%prompt%", "a helmet");
    for (text, said) in [
        (r#"{"nodes": [], "links": []}"#, "not in the form of the API"),
        (&no_prompt, "%prompt%"),
        ("{", "is not JSON"),
    ] {
        let place = place();
        place.write("graph.json", text);
        run(&place, &server).exits(1);
        let error = error(&place);
        assert_eq!(error["class"], "config");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
    assert_eq!(server.ledger().len(), 0);
}
