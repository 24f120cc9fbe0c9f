//! `media.slides`: a picture for each section of a script.

use std::collections::BTreeMap;
use std::path::Path;

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::stage::{BoxFuture, Context, Drafts, Job, Ports, Progress, Stage, StageSpec};

use super::draw::{self, Drawing, HEIGHT, MIN_CONTRAST, SlideFacts, WIDTH};
use super::ports::{draft, input, optional_input, optional_port, port};
use crate::contract::{
    self, AssetCheck, AssetMetadata, FileRef, IdeaPackage, MediaPackage, TimingData,
};

/// Draws the slides of an idea with the bundled font.
pub(super) struct SlidesStage {
    spec: StageSpec,
}

impl SlidesStage {
    pub(super) fn new() -> Self {
        Self {
            spec: StageSpec {
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
                config: Vec::new(),
                needs_scratch: true,
                example: r#"[nodes.slides]
stage  = "media.slides"
inputs = { idea = "ideas.idea", timing = "narrate.timing" }
"#,
            },
        }
    }
}

impl Stage for SlidesStage {
    fn spec(&self) -> &StageSpec {
        &self.spec
    }

    fn run<'a>(
        &'a self,
        context: &'a dyn Context,
        job: Job,
    ) -> BoxFuture<'a, Result<Drafts, StageError>> {
        Box::pin(async move {
            let idea: IdeaPackage = input(&job, "idea")?;
            let timing: Option<TimingData> = optional_input(&job, "timing")?;
            let package = draw_all(context, idea, timing).await?;
            Ok(BTreeMap::from([("package".to_owned(), draft(&package)?)]))
        })
    }
}

async fn draw_all(
    context: &dyn Context,
    idea: IdeaPackage,
    timing: Option<TimingData>,
) -> Result<MediaPackage, StageError> {
    let idea = std::sync::Arc::new(idea);
    let count = idea.script.sections.len();
    let mut assets = Vec::with_capacity(count);
    for position in 0..count {
        let (idea, folder) = (idea.clone(), context.scratch().to_owned());
        // Drawing is pure work for a processor: it must not hold up the engine's own thread.
        let drawn = tokio::task::spawn_blocking(move || slide(&idea, position, &folder)).await;
        let (asset, issues) = drawn.map_err(|e| broken("draw a slide", e))??;
        issues.into_iter().for_each(|issue| context.warn(issue));
        assets.push(asset);
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

/// Draws, measures and writes one slide.
fn slide(
    idea: &IdeaPackage,
    position: usize,
    folder: &Path,
) -> Result<(AssetMetadata, Vec<String>), StageError> {
    let section = &idea.script.sections[position];
    let count = idea.script.sections.len();
    let drawing = draw::draw(&SlideFacts { idea, section, position, count })
        .map_err(|e| broken("read the bundled font", e))?;
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
    let asset = AssetMetadata {
        asset_id: format!("{}-{}", idea.idea_id, section.section_id),
        section_id: section.section_id.clone(),
        kind: "image".into(),
        path: FileRef::Made(name.into()),
        mime: "image/png".into(),
        width_px: WIDTH,
        height_px: HEIGHT,
        bytes,
        provider: "local".into(),
        prompt: section.slide.visual_prompt.clone(),
        seed: None,
        check: Some(measured(&drawing)),
    };
    Ok((asset, drawing.issues))
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
mod tests {
    use super::*;
    use crate::media::ideas::tests::written;

    fn drawn(idea: &IdeaPackage, position: usize) -> Drawing {
        let count = idea.script.sections.len();
        let section = &idea.script.sections[position];
        draw::draw(&SlideFacts { idea, section, position, count }).expect("the bundled font")
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
