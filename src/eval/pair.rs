//! The evaluation of a model on the domain set and the general set.

use super::metrics::Perplexities;
use super::perplexity::Evaluation;
use crate::error::Result;
use crate::model::CausalLm;
use crate::text::Sample;

/// An evaluation on the domain set and then on the general set, which advances by one batch at a time.
#[derive(Clone, Debug)]
pub struct PairEvaluation {
    domain: Evaluation,
    general: Evaluation,
    /// The model that the evaluated one is compared with, until the domain set is evaluated.
    reference: Option<CausalLm>,
    /// The perplexity on the domain set, once it is known.
    found: Option<f64>,
}

impl PairEvaluation {
    /// Starts an evaluation on both sets, `batch_size` samples per batch.
    ///
    /// # Errors
    ///
    /// As [`Evaluation::new`].
    pub fn new(domain: &[Sample], general: &[Sample], batch_size: usize) -> Result<Self> {
        Ok(Self {
            domain: Evaluation::new(domain, batch_size)?,
            general: Evaluation::new(general, batch_size)?,
            reference: None,
            found: None,
        })
    }

    /// Measures also how far the model's predictions on the domain set are from those of a reference.
    #[must_use]
    pub fn beside(self, reference: Option<CausalLm>) -> Self {
        Self { reference, ..self }
    }

    /// Returns KL(reference ‖ model) on the domain set, see [`Evaluation::kl_divergence`]; `None` without a
    /// reference.
    pub fn kl_divergence(&self) -> Option<f64> {
        self.domain.kl_divergence()
    }

    /// Returns the number of batches done, and of all.
    pub fn progress(&self) -> (usize, usize) {
        let [of_domain, of_general] = [&self.domain, &self.general].map(Evaluation::progress);
        (of_domain.0 + of_general.0, of_domain.1 + of_general.1)
    }

    /// Evaluates the next batch, and returns the result after the last one. The samples must be those that the
    /// evaluation was created with.
    ///
    /// # Errors
    ///
    /// [`Error::Device`](crate::Error::Device).
    pub async fn advance(
        &mut self,
        model: &CausalLm,
        domain: &[Sample],
        general: &[Sample],
    ) -> Result<Option<Perplexities>> {
        let Some(of_domain) = self.found else {
            let reference = self.reference.as_ref();
            let found = self.domain.advance_beside(model, reference, domain).await?;
            if let Some(found) = found {
                self.found = Some(found.perplexity);
                self.reference = None;
            }
            return Ok(None);
        };
        let found = self.general.advance(model, general).await?;
        Ok(found.map(|found| Perplexities {
            domain: of_domain,
            general: found.perplexity,
        }))
    }
}

/// Returns the perplexities of a model on both sets, `batch_size` samples per batch.
///
/// # Errors
///
/// As [`PairEvaluation::new`] and [`PairEvaluation::advance`].
pub async fn evaluate_pair(
    model: &CausalLm,
    domain: &[Sample],
    general: &[Sample],
    batch_size: usize,
) -> Result<Perplexities> {
    let mut evaluation = PairEvaluation::new(domain, general, batch_size)?;
    loop {
        if let Some(found) = evaluation.advance(model, domain, general).await? {
            return Ok(found);
        }
    }
}
