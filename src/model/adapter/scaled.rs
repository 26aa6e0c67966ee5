//! Adapters at a part of their strength.

use std::sync::Arc;

use super::Adapter;
use super::layout::{AdaptedLayer, Layout, Role};
use super::settings::AdapterSettings;

impl Adapter {
    /// Returns whether the change of the model's outputs is linear in a factor of the adapter, so that
    /// [`Self::scaled`] is exact: LoRA and IA³, unless they replace weights.
    pub(crate) fn is_scalable(&self) -> bool {
        let is_dora = matches!(self.settings(), AdapterSettings::Lora(lora) if lora.decomposed);
        !is_dora && !self.saved.as_ref().is_some_and(|saved| saved.replaces())
    }

    /// Returns the adapter with the update of each layer times a strength, which depends on the module's name:
    /// the scale of LoRA times the strength, and IA³ at 1 + strength · (l − 1). Where the strength is 0, B of
    /// LoRA becomes 0 and the scale stays, since an adapter cannot have α = 0.
    pub(crate) fn scaled(&self, strength: impl Fn(&str) -> f64) -> Self {
        let layers = &self.layout.layers;
        let strengths = layers.iter().map(|layer| strength(&layer.module));
        let strengths: Vec<f64> = strengths.collect();
        let common = strengths.first().copied();
        let common = common.filter(|&first| first > 0.0 && strengths.iter().all(|&s| s == first));
        let mut settings = self.settings().clone();
        if let (AdapterSettings::Lora(lora), Some(common)) = (&mut settings, common) {
            lora.alpha *= common;
        }
        let mut values = self.values.clone();
        let scaled = layers.iter().zip(&strengths).map(|(layer, &strength)| {
            let role = self.scaled_role(layer.role, strength, &settings);
            match layer.role {
                Role::LowRank { b, bias, .. } if strength == 0.0 => {
                    for index in [Some(b), bias].into_iter().flatten() {
                        values[index] = values[index].zeros_like();
                    }
                }
                Role::ScaleInput(index) | Role::ScaleOutput(index) if strength != 1.0 => {
                    values[index] = (values[index].clone() - 1.0) * strength + 1.0;
                }
                _ => {}
            }
            AdaptedLayer {
                role,
                ..layer.clone()
            }
        });
        let layout = Layout {
            layers: scaled.collect(),
            settings,
            base: self.layout.base.clone(),
            specs: self.layout.specs.clone(),
            others: self.layout.others.clone(),
        };
        let saved = self.saved.as_deref();
        Self {
            saved: saved.map(|saved| Arc::new(saved.with_scales_of(&layout))),
            layout: Arc::new(layout),
            values,
        }
    }

    /// Returns the role of a layer at a strength. Its scale is exactly that of the new settings where it was that
    /// of the old ones, so that a saved adapter is the same when it is loaded.
    fn scaled_role(&self, role: Role, strength: f64, settings: &AdapterSettings) -> Role {
        let (
            Role::LowRank {
                a,
                b,
                bias,
                magnitude,
                scale,
            },
            AdapterSettings::Lora(old),
            AdapterSettings::Lora(new),
        ) = (role, self.settings(), settings)
        else {
            return role;
        };
        let rank = self.layout.specs[a].shape[0];
        let scale = if strength == 0.0 {
            scale
        } else if scale != old.scale(rank) {
            scale * strength
        } else if new.alpha != old.alpha {
            new.scale(rank)
        } else {
            old.scale_of(old.alpha * strength, rank)
        };
        Role::LowRank {
            a,
            b,
            bias,
            magnitude,
            scale,
        }
    }
}
