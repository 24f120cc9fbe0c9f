//! ComfyUI, by the routes of its public `server.py`, its page on them
//! (<https://docs.comfy.org/development/comfyui-server/comms_routes>) and the one on the messages of its
//! WebSocket (<https://docs.comfy.org/development/comfyui-server/comms_messages>).

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::pictures::Picture;
use super::server::{Api, Asked, Reply};

/// How jobs end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    #[default]
    Good,
    /// A node fails.
    Fails,
    /// Somebody interrupts it.
    Interrupted,
    /// The server forgets it, as after a restart.
    Forgotten,
    /// It never ends.
    Never,
}

#[derive(Default)]
pub struct ComfyUi {
    /// So many looks find a job in the queue.
    pub pending: usize,
    pub ending: Ending,
    /// How the first job ends, if otherwise than the others.
    pub first: Option<Ending>,
    /// Whether a job goes on only when somebody follows it; then its steps are told.
    pub followed: bool,
    /// Whether sockets break off as soon as they are open.
    pub breaks_off: bool,
    /// The sampler that is not known here, if a graph may not name it.
    pub unknown_sampler: Option<&'static str>,
    /// Whether a graph of which a part is wrong is taken nevertheless, with 200.
    pub lenient: bool,
    /// Whether it chooses the ids of jobs itself, as older servers do.
    pub is_old: bool,
    pub picture: Picture,
    pub jobs: Mutex<Vec<Job>>,
    pub sockets: Mutex<Vec<(String, TcpStream)>>,
}

/// A job, and how often it was looked at.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub client: String,
    pub graph: Value,
    pub looks: usize,
}

impl Api for ComfyUi {
    fn answer(&self, asked: &Asked, _base: &str) -> Reply {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("POST", "/prompt") => self.order(asked),
            ("GET", "/queue") => self.queue(),
            ("GET", "/view") => self.view(asked),
            ("GET", path) if path.starts_with("/history/") => self.history(&path[9..]),
            _ => Reply::new(404, "text/plain", "404: Not Found"),
        }
    }

    fn failure(&self, status: u16) -> Reply {
        Reply::new(status, "text/plain", format!("{status}: Server got itself in trouble"))
    }

    fn upgrade(&self, asked: &Asked, mut socket: TcpStream) -> Option<TcpStream> {
        if asked.path != "/ws" || asked.header("upgrade") != Some("websocket") {
            return Some(socket);
        }
        let key = asked.header("sec-websocket-key").unwrap_or_default();
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        drop(socket.write_all(head.as_bytes()));
        if !self.breaks_off {
            let client = asked.param("clientId").unwrap_or_default().to_owned();
            send(
                &mut socket,
                &json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}, "sid": client}}),
            );
            lock(&self.sockets).push((client, socket));
        }
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends an unmasked frame of text. One that nobody reads any more is lost.
fn send(socket: &mut TcpStream, event: &Value) {
    let text = event.to_string();
    let mut frame = vec![0x81, 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend(text.as_bytes());
    drop(socket.write_all(&frame));
}

impl ComfyUi {
    fn order(&self, asked: &Asked) -> Reply {
        let body = asked.json();
        let Some(nodes) = body["prompt"].as_object().filter(|nodes| !nodes.is_empty()) else {
            let error = json!({"type": "no_prompt", "message": "No prompt provided", "details": "", "extra_info": {}});
            return Reply::json(400, &json!({"error": error, "node_errors": {}}));
        };
        let is_wrong = |node: &&Value| {
            self.unknown_sampler.is_some_and(|name| node["inputs"]["sampler_name"] == name)
        };
        let mut errors = json!({});
        for (id, node) in nodes.iter().filter(|(_, node)| is_wrong(node)) {
            errors[id] = json!({"errors": [{"type": "value_not_in_list", "message": "Value not in list",
                "details": "sampler_name: 'nonesuch' not in ['euler', 'heun']", "extra_info": {"input_name": "sampler_name"}}],
                "dependent_outputs": ["9"], "class_type": node["class_type"]});
        }
        if errors != json!({}) && !self.lenient {
            let error = json!({"type": "prompt_outputs_failed_validation",
                "message": "Prompt outputs failed validation", "details": "", "extra_info": {}});
            return Reply::json(400, &json!({"error": error, "node_errors": errors}));
        }
        let mut jobs = lock(&self.jobs);
        let number = jobs.len() + 1;
        let asked_for = body["prompt_id"].as_str().filter(|_| !self.is_old);
        let id = asked_for
            .map_or_else(|| format!("00000000-0000-4000-8000-{number:012}"), str::to_owned);
        let client = body["client_id"].as_str().unwrap_or_default().to_owned();
        jobs.push(Job { id: id.clone(), client, graph: body["prompt"].clone(), looks: 0 });
        Reply::json(200, &json!({"prompt_id": id, "number": number, "node_errors": errors}))
    }

    fn ending(&self, at: usize) -> Ending {
        self.first.filter(|_| at == 0).unwrap_or(self.ending)
    }

    /// Whether a job is still in the queue.
    fn is_queued(&self, at: usize, job: &Job) -> bool {
        let is_followed = || lock(&self.sockets).iter().any(|(client, _)| *client == job.client);
        match self.ending(at) {
            Ending::Never => true,
            Ending::Forgotten => job.looks <= self.pending,
            _ => job.looks <= self.pending || self.followed && !is_followed(),
        }
    }

    fn queue(&self) -> Reply {
        let jobs = lock(&self.jobs);
        let queued = jobs.iter().enumerate().filter(|(at, job)| self.is_queued(*at, job));
        let entry = |(at, job): (usize, &Job)| json!([at + 1, job.id, job.graph, {}, ["9"]]);
        let queued: Vec<Value> = queued.map(entry).collect();
        let (running, pending) = queued.split_at(queued.len().min(1));
        Reply::json(200, &json!({"queue_running": running, "queue_pending": pending}))
    }

    fn history(&self, id: &str) -> Reply {
        let mut jobs = lock(&self.jobs);
        let Some(at) = jobs.iter().position(|job| job.id == id) else {
            return Reply::json(200, &json!({}));
        };
        jobs[at].looks += 1;
        let job = &jobs[at];
        if self.is_queued(at, job) {
            return Reply::json(200, &json!({}));
        }
        if self.followed {
            self.tell(job);
        }
        let entry = match self.ending(at) {
            Ending::Fails => ended(
                id,
                "execution_error",
                &json!({"prompt_id": id, "node_id": "3",
                "node_type": "KSampler", "executed": ["4"], "exception_message": "Allocation on device",
                "exception_type": "torch.OutOfMemoryError", "traceback": []}),
            ),
            Ending::Interrupted => ended(
                id,
                "execution_interrupted",
                &json!({"prompt_id": id, "node_id": "3", "node_type": "KSampler", "executed": ["4"]}),
            ),
            Ending::Forgotten => return Reply::json(200, &json!({})),
            _ => json!({
                "prompt": [at + 1, id, job.graph, {}, ["9"]],
                "outputs": {"9": {"images": [{"filename": format!("flow_{:05}_.png", at + 1), "subfolder": "flow", "type": "output"}]}},
                "status": {"status_str": "success", "completed": true,
                           "messages": [["execution_start", {"prompt_id": id}], ["execution_success", {"prompt_id": id}]]},
            }),
        };
        Reply::json(200, &json!({id: entry}))
    }

    /// Tells whoever follows a job that half of it is done.
    fn tell(&self, job: &Job) {
        let id = &job.id;
        let events = [
            json!({"type": "execution_start", "data": {"prompt_id": id}}),
            json!({"type": "executing", "data": {"node": "3", "prompt_id": id}}),
            json!({"type": "progress", "data": {"value": 10, "max": 20, "prompt_id": id, "node": "3"}}),
        ];
        for (_, socket) in
            lock(&self.sockets).iter_mut().filter(|(client, _)| *client == job.client)
        {
            // A preview, which is no text.
            drop(socket.write_all(&[0x82, 4, 0, 0, 0, 1]));
            events.iter().for_each(|event| send(socket, event));
        }
    }

    fn view(&self, asked: &Asked) -> Reply {
        let name = asked.param("filename").unwrap_or_default();
        let is_ours =
            asked.param("subfolder") == Some("flow") && asked.param("type") == Some("output");
        let number = name.strip_prefix("flow_").and_then(|rest| rest.strip_suffix("_.png"));
        let number: Option<usize> = number.and_then(|number| number.parse().ok());
        let jobs = lock(&self.jobs);
        let Some(job) = number.filter(|_| is_ours).and_then(|number| jobs.get(number - 1)) else {
            return Reply::empty(404);
        };
        let side = |name: &str| job.graph["5"]["inputs"][name].as_u64().unwrap_or(512) as u32;
        let seed = job.graph["3"]["inputs"]["seed"].as_u64().unwrap_or_default();
        let bytes = self.picture.bytes(side("width"), side("height"), seed);
        Reply::new(200, self.picture.media_type(), bytes)
    }
}

fn ended(id: &str, message: &str, data: &Value) -> Value {
    json!({
        "prompt": [1, id, {}, {}, ["9"]],
        "outputs": {},
        "status": {"status_str": "error", "completed": false,
                   "messages": [["execution_start", {"prompt_id": id}], [message, data]]},
    })
}
