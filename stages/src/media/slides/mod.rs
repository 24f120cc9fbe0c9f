//! `media.slides`: a picture for each section of a script.

mod background;
mod prompt;
mod vision;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{
    BoxFuture, ConfigFault, Context, Drafts, FieldKind, Job, NodeView, Ports, Progress, Stage,
    StageSpec,
};
use image::RgbImage;

use self::background::{Background, KNOWN, LOCAL, Painter};
use super::draw::{self, Drawing, HEIGHT, MIN_CONTRAST, SlideFacts, WIDTH};
use super::ports::{draft, field, input, optional_input, optional_port, port};
use crate::client::Remote;
use crate::client::chain::providers_field;
use crate::client::service::{keys_field, services_field};
use crate::contract::{
    self, AssetCheck, AssetMetadata, FileRef, IdeaPackage, MediaPackage, TimingData,
};

/// How often another picture is bought for a slide that its check refuses.
const REGENERATIONS: u32 = 2;
/// How often a picture is made darker until the words on it meet the measures.
const DARKER: u32 = 3;

/// Draws the slides of an idea with the bundled font, over pictures where a service makes them.
pub(super) struct SlidesStage {
    spec: StageSpec,
    remote: Remote,
}

impl SlidesStage {
    pub(super) fn new(remote: Remote) -> Self {
        Self { spec: spec(), remote }
    }
}

fn spec() -> StageSpec {
    StageSpec {
        name: "media.slides",
        version: 1,
        summary: "Draws a 1080×1920 slide for each section of an idea's script",
        inputs: Ports::Fixed(vec![
            port("idea", contract::ty::<IdeaPackage>(), "The idea to show."),
            optional_port(
                "timing",
                contract::ty::<TimingData>(),
                "When each section is heard; without it every slide stands for a fixed time.",
            ),
        ]),
        outputs: Ports::Fixed(vec![port(
            "package",
            contract::ty::<MediaPackage>(),
            "The slides in order, each measured.",
        )]),
        config: vec![
            providers_field(
                "Who makes the pictures behind the words, in turn: `flux`, `openai`, `replicate`, `fal`, `comfyui`, and `local`, the \
                 colours of the teams, which is the default alone. The words are always drawn here.",
            ),
            field(
                "style",
                FieldKind::Text,
                "How pictures that are bought look; the section's `visual_prompt` says what they show.",
            ),
            field(
                "check",
                FieldKind::Text,
                "`gemini`: a model looks at each slide with a bought picture. One that it refuses gets \
                 another picture, twice at most, and then the local one.",
            ),
            services_field(),
            keys_field(),
        ],
        needs_scratch: true,
        example: r#"[nodes.slides]
stage  = "media.slides"
inputs = { idea = "ideas.idea", timing = "narrate.timing" }
"#,
    }
}

impl Stage for SlidesStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn check(&self, node: &NodeView<'_>) -> Vec<ConfigFault> {
        KNOWN.faults(node)
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let idea: IdeaPackage = input(&job, "idea")?;
            let timing: Option<TimingData> = optional_input(&job, "timing")?;
            let painter = Painter::read(context, &job, &self.remote)?;
            let package = draw_all(context, painter.as_ref(), idea, timing).await?;
            Ok(BTreeMap::from([("package".to_owned(), draft(&package)?)]))
        })
    }
}

async fn draw_all(
    context: &dyn Context,
    painter: Option<&Painter>,
    idea: IdeaPackage,
    timing: Option<TimingData>,
) -> Result<MediaPackage, StageError> {
    let idea = Arc::new(idea);
    let count = idea.script.sections.len();
    let mut assets = Vec::with_capacity(count);
    for position in 0..count {
        let slide = slide(context, painter, &idea, position).await?;
        slide.issues.into_iter().for_each(|issue| context.warn(issue));
        assets.push(slide.asset);
        #[expect(clippy::cast_precision_loss, reason = "few slides")]
        context.progress(Progress {
            done: (position + 1) as f64,
            total: Some(count as f64),
            unit: "slides",
            message: "drawing".into(),
        });
    }
    Ok(MediaPackage {
        schema_version: 1,
        idea_id: idea.idea_id.clone(),
        aspect: "9:16".into(),
        assets,
        audio: None,
        timing,
    })
}

/// A slide in the scratch folder, and what had to be changed to make it fit.
struct Slide {
    asset: AssetMetadata,
    issues: Vec<String>,
}

/// One slide: over a picture of the chain that passes its check, else in the colours of the teams.
async fn slide(
    context: &dyn Context,
    painter: Option<&Painter>,
    idea: &Arc<IdeaPackage>,
    position: usize,
) -> Result<Slide, StageError> {
    let Some(painter) = painter else {
        return drawn(context, idea, position, None).await.map(told);
    };
    for round in 0..=REGENERATIONS {
        let Some(background) = painter.background(context, idea, position, round).await? else {
            break;
        };
        let prompt = background.prompt.clone();
        let (mut slide, image) = drawn(context, idea, position, Some(background)).await?;
        if !is_refused(context, painter, idea, position, &prompt, &mut slide, image).await? {
            return Ok(slide);
        }
    }
    drawn(context, idea, position, None).await.map(told)
}

fn told((slide, _image): (Slide, RgbImage)) -> Slide {
    slide
}

/// Whether the check refuses a slide. One that could not be made costs a warning, and not the slide.
async fn is_refused(
    context: &dyn Context,
    painter: &Painter,
    idea: &IdeaPackage,
    position: usize,
    prompt: &str,
    slide: &mut Slide,
    image: RgbImage,
) -> Result<bool, StageError> {
    let Some(critic) = &painter.critic else { return Ok(false) };
    let section = &idea.script.sections[position];
    match vision::look(context, critic, section, prompt, image).await {
        Ok(check) if check.passed => {
            slide.asset.check = Some(check);
            Ok(false)
        }
        Ok(check) => {
            let (id, by, why) = (&section.section_id, &check.by, check.issues.join("; "));
            context.warn(format!("{by} refused the picture of section {id}: {why}"));
            Ok(true)
        }
        Err(error) if matches!(error.class, ErrorClass::Cancelled | ErrorClass::Store) => {
            Err(error)
        }
        Err(error) => {
            context
                .warn(format!("the slide of section {} is unchecked: {error}", section.section_id));
            Ok(false)
        }
    }
}

/// Draws, measures and writes one slide.
async fn drawn(
    context: &dyn Context,
    idea: &Arc<IdeaPackage>,
    position: usize,
    background: Option<Background>,
) -> Result<(Slide, RgbImage), StageError> {
    let (idea, folder) = (Arc::clone(idea), context.scratch().to_owned());
    // Drawing is pure work for a processor: it must not hold up the engine's own thread.
    let drawn = tokio::task::spawn_blocking(move || draw_one(&idea, position, background, &folder));
    drawn.await.map_err(|e| broken("draw a slide", e))?
}

fn draw_one(
    idea: &IdeaPackage,
    position: usize,
    mut background: Option<Background>,
    folder: &Path,
) -> Result<(Slide, RgbImage), StageError> {
    let section = &idea.script.sections[position];
    let drawing = legible(idea, position, &mut background)?;
    let faults = drawing.faults();
    if !faults.is_empty() {
        let error = StageError::new(
            ErrorClass::Validation,
            format!("draw the slide of section {}", section.section_id),
            "its words cannot be shown legibly",
        );
        let error = error
            .kind(ErrorKind::MediaGeneration)
            .hint("shorten the section's title and bullets, or choose another layout");
        return Err(faults.into_iter().fold(error, StageError::cause));
    }
    let name = format!("slide-{:02}.png", position + 1);
    let path = folder.join(&name);
    let bytes = write_png(&drawing, &path)?;
    let local = || (LOCAL.to_owned(), None, section.slide.visual_prompt.clone(), None);
    let bought = |made: Background| {
        (made.provider, Some(made.model), Some(made.prompt), made.seed.map(u64::from))
    };
    let (provider, model, prompt, seed) = background.map_or_else(local, bought);
    let asset = AssetMetadata {
        asset_id: format!("{}-{}", idea.idea_id, section.section_id),
        section_id: section.section_id.clone(),
        kind: "image".into(),
        path: FileRef::Made(name.into()),
        mime: "image/png".into(),
        width_px: WIDTH,
        height_px: HEIGHT,
        bytes,
        provider,
        model,
        prompt,
        seed,
        check: Some(measured(&drawing)),
    };
    Ok((Slide { asset, issues: drawing.issues }, drawing.image))
}

/// Draws a slide, its picture as dark as the words need it.
fn legible(
    idea: &IdeaPackage,
    position: usize,
    background: &mut Option<Background>,
) -> Result<Drawing, StageError> {
    let (section, count) = (&idea.script.sections[position], idea.script.sections.len());
    let mut darker = 0;
    loop {
        let backdrop = background.as_ref().map(|made| &made.backdrop);
        let drawing = draw::draw(&SlideFacts { idea, section, position, count, backdrop })
            .map_err(|e| broken("read the bundled font", e))?;
        let Some(made) = background else { return Ok(drawing) };
        if darker == DARKER || drawing.contrast() >= MIN_CONTRAST {
            return Ok(drawing);
        }
        made.backdrop.darken();
        darker += 1;
    }
}

fn measured(drawing: &Drawing) -> AssetCheck {
    let contrast = f64::from(drawing.contrast());
    // Text of the least contrast that is allowed scores a half, twice that much scores 1.
    let score = (contrast / (2.0 * f64::from(MIN_CONTRAST))).min(1.0);
    AssetCheck {
        by: "local measures".into(),
        passed: true,
        score: (score * 100.0).round() / 100.0,
        issues: drawing.issues.clone(),
    }
}

fn write_png(drawing: &Drawing, path: &Path) -> Result<u64, StageError> {
    drawing.image.save_with_format(path, image::ImageFormat::Png).map_err(|e| match e {
        image::ImageError::IoError(e) => {
            StageError::from_io("write a slide", &e).kind(ErrorKind::MediaGeneration)
        }
        other => broken("write a slide", other),
    })?;
    let size = std::fs::metadata(path).map(|meta| meta.len());
    size.map_err(|e| StageError::from_io("write a slide", &e).kind(ErrorKind::MediaGeneration))
}

fn broken(operation: &str, cause: impl ToString) -> StageError {
    StageError::new(ErrorClass::Config, operation, "the picture could not be made")
        .kind(ErrorKind::MediaGeneration)
        .hint("this is a fault of the program: please report it with the causes")
        .cause(cause)
}

#[cfg(test)]
mod bought_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::ideas::tests::written;

    fn drawn(idea: &IdeaPackage, position: usize) -> Drawing {
        let count = idea.script.sections.len();
        let section = &idea.script.sections[position];
        draw::draw(&SlideFacts { idea, section, position, count, backdrop: None })
            .expect("the bundled font")
    }

    #[test]
    fn every_slide_of_a_day_meets_the_measures() {
        for idea in written("2025-11-23", 20, 4).iter().step_by(3) {
            for position in 0..idea.script.sections.len() {
                let drawing = drawn(idea, position);
                assert_eq!(drawing.faults(), Vec::<String>::new(), "{}", idea.matchup_id);
                assert_eq!(drawing.issues, Vec::<String>::new(), "{}", idea.matchup_id);
            }
        }
    }

    #[test]
    fn the_longest_words_shrink_until_they_fit() {
        let mut idea = written("2025-11-23", 20, 4).remove(0);
        idea.pick.player_name = "Maximilian-Alexander Papadopoulos-Featherstonehaugh".into();
        idea.matchup = None;
        for section in &mut idea.script.sections {
            section.slide.title = "A headline of precisely forty characters".into();
            section.slide.bullets = vec!["Thirty characters of bullet go".into(); 4];
        }
        for position in 0..idea.script.sections.len() {
            assert_eq!(drawn(&idea, position).faults(), Vec::<String>::new(), "slide {position}");
        }
    }

    #[test]
    fn a_percent_sign_is_drawn_and_an_unknown_character_is_told() {
        let mut idea = written("2025-11-23", 20, 4).remove(0);
        idea.script.sections[2].slide.bullets = vec!["60% of bets".into(), "Fire \u{1f525}".into()];
        let drawing = drawn(&idea, 2);
        assert!(drawing.placed.iter().any(|line| line.text == "60% of bets"));
        assert_eq!(drawing.issues.len(), 1, "{:?}", drawing.issues);
    }

    #[test]
    fn the_same_idea_gives_the_same_pixels() {
        let idea = written("2025-11-23", 20, 4).remove(0);
        assert_eq!(drawn(&idea, 0).image, drawn(&idea, 0).image);
    }

    /// Not a test: `cargo nextest run -p flow-stages --run-ignored only pictures` draws a day's
    /// slides to look at.
    #[test]
    #[ignore = "writes pictures for a person to look at"]
    fn pictures_of_a_day_are_drawn_to_the_temporary_folder() {
        let folder = std::env::temp_dir().join("flow-slides");
        std::fs::create_dir_all(&folder).expect("a folder");
        for (piece, idea) in written("2025-11-23", 20, 5).iter().step_by(5).enumerate() {
            for position in 0..idea.script.sections.len() {
                let path = folder.join(format!("{piece:02}-{position}.png"));
                drawn(idea, position).image.save(path).expect("a picture");
            }
        }
    }
}
