//! What a person should know about a check that passed.

use super::Options;
use crate::model::{self, Listing, ModelPath, Part};
use crate::statement::oms::{Dialect, OmsClaim};

/// Something that a person should know about a check that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Weaker: these are there and not signed, and the caller passed over them.
    IgnoredByCaller(Vec<ModelPath>),
    /// Weaker: these are there and not signed; links and devices among them, by name.
    UnsignedFiles(Vec<String>),
    /// Weaker: nothing but these paths was looked at.
    OnlyThese(Vec<ModelPath>),
    /// Weaker: contents were checked of this part only.
    OnlyPart(Part),
    /// Weaker: a signature of model-signing 0.2.0.
    OldFormat,
    /// Weaker: a home-made layout.
    OtherLayout,
    /// Weaker: the signature of this single file does not bind its name.
    UnnamedFile,
    /// These are there, and the signer or its old format left them out: nobody vouches for them.
    NotCovered(Vec<ModelPath>),
    /// Weaker: these are there, and passed over because the specification says so; this signer did
    /// not leave them out.
    PassedOverByDefault(Vec<ModelPath>),
    /// One name on file systems that fold case or normalise Unicode.
    Collisions(Vec<Vec<String>>),
}

impl Notice {
    /// Whether less was checked than a signature allows.
    #[must_use]
    pub fn is_weaker_check(&self) -> bool {
        matches!(
            self,
            Self::IgnoredByCaller(_)
                | Self::UnsignedFiles(_)
                | Self::OnlyThese(_)
                | Self::OnlyPart(_)
                | Self::OldFormat
                | Self::OtherLayout
                | Self::UnnamedFile
                | Self::PassedOverByDefault(_)
        )
    }
}

/// All that is to be said of a check that passed.
pub(super) fn notices(
    claim: &OmsClaim,
    listing: &Listing,
    options: &Options,
    unsigned: Vec<String>,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    if !options.only.is_empty() {
        notices.push(Notice::OnlyThese(options.only.clone()));
    }
    notices.extend(options.part.map(Notice::OnlyPart));
    match claim.dialect {
        Dialect::V1 => {}
        Dialect::V0_2 => notices.push(Notice::OldFormat),
        Dialect::ManifestJson | Dialect::HashJson => notices.push(Notice::OtherLayout),
    }
    if claim.is_unnamed() {
        notices.push(Notice::UnnamedFile);
    }
    if !unsigned.is_empty() {
        notices.push(Notice::UnsignedFiles(unsigned));
    }
    // Signatures and claims are there for Bulla to read and for nobody to load.
    let own = [model::SIGNATURE_NAME, model::CLAIMS_NAME];
    // A signature that records no ignored paths leaves the choice to the specification.
    let recorded = &claim.recipe.ignore;
    let (mut by_signer, mut by_default, mut by_caller) = (Vec::new(), Vec::new(), Vec::new());
    for path in listing.ignored.iter().filter(|path| !own.contains(&path.as_str())) {
        let below =
            |ignore: &dyn Fn(&str) -> bool| ignore(path.as_str()) || path.parents().any(ignore);
        let place = if below(&|name| recorded.contains(name)) {
            &mut by_signer
        } else if below(&|name| options.ignore.iter().any(|ignored| ignored.as_str() == name)) {
            &mut by_caller
        } else if recorded.is_empty() {
            &mut by_signer
        } else {
            &mut by_default
        };
        place.push(path.clone());
    }
    let mut add = |paths: Vec<ModelPath>, notice: fn(Vec<ModelPath>) -> Notice| {
        if !paths.is_empty() {
            notices.push(notice(paths));
        }
    };
    add(by_caller, Notice::IgnoredByCaller);
    add(by_signer, Notice::NotCovered);
    add(by_default, Notice::PassedOverByDefault);
    let collisions = model::collisions(listing.files.iter().map(|f| &f.path));
    if !collisions.is_empty() {
        notices.push(Notice::Collisions(collisions));
    }
    notices
}
