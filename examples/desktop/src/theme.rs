//! Colours and sizes, which match the web page: paper and ink, blue for minifinetuning, orange for
//! finetuning.

use eframe::egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Stroke, Style, TextStyle, Theme,
    ThemePreference, Ui, Visuals, style::WidgetVisuals,
};

use crate::setup::Method;

/// The colours of a theme.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// Window background.
    pub paper: Color32,
    /// Background of cards and fields.
    pub surface: Color32,
    /// Idle buttons and slider rails.
    pub sunken: Color32,
    /// Text.
    pub ink: Color32,
    /// Secondary text.
    pub muted: Color32,
    /// Outlines.
    pub line: Color32,
    /// Grid lines of plots.
    pub grid: Color32,
    /// Minifinetuning and primary actions.
    pub mft: Color32,
    /// Plain finetuning.
    pub ft: Color32,
    /// The original model and general text.
    pub general: Color32,
    /// Errors.
    pub danger: Color32,
    /// Text on primary buttons.
    pub on_accent: Color32,
}

const LIGHT: Palette = Palette {
    paper: Color32::from_rgb(0xfa, 0xf9, 0xf6),
    surface: Color32::from_rgb(0xff, 0xff, 0xff),
    sunken: Color32::from_rgb(0xf2, 0xf0, 0xea),
    ink: Color32::from_rgb(0x1d, 0x1f, 0x22),
    muted: Color32::from_rgb(0x5f, 0x63, 0x68),
    line: Color32::from_rgb(0xde, 0xdb, 0xd3),
    grid: Color32::from_rgb(0xeb, 0xe8, 0xe1),
    mft: Color32::from_rgb(0x0a, 0x67, 0xa8),
    ft: Color32::from_rgb(0xb2, 0x4a, 0x00),
    general: Color32::from_rgb(0x5f, 0x63, 0x68),
    danger: Color32::from_rgb(0xb3, 0x26, 0x1e),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
};

const DARK: Palette = Palette {
    paper: Color32::from_rgb(0x15, 0x17, 0x1a),
    surface: Color32::from_rgb(0x1c, 0x1f, 0x23),
    sunken: Color32::from_rgb(0x29, 0x2d, 0x33),
    ink: Color32::from_rgb(0xec, 0xea, 0xe5),
    muted: Color32::from_rgb(0xa2, 0xa6, 0xab),
    line: Color32::from_rgb(0x34, 0x39, 0x40),
    grid: Color32::from_rgb(0x29, 0x2d, 0x33),
    mft: Color32::from_rgb(0x74, 0xbb, 0xf2),
    ft: Color32::from_rgb(0xf2, 0xa2, 0x5f),
    general: Color32::from_rgb(0xa2, 0xa6, 0xab),
    danger: Color32::from_rgb(0xff, 0x9d, 0x94),
    on_accent: Color32::from_rgb(0x15, 0x17, 0x1a),
};

impl Palette {
    /// The colours of the active theme.
    pub fn of(ui: &Ui) -> Self {
        Self::of_theme(ui.theme())
    }

    fn of_theme(theme: Theme) -> Self {
        match theme {
            Theme::Light => LIGHT,
            Theme::Dark => DARK,
        }
    }

    /// The colour of a method.
    pub fn method(&self, method: Method) -> Color32 {
        match method {
            Method::Mft => self.mft,
            Method::Ft => self.ft,
        }
    }
}

/// Applies colours and sizes to a window.
pub fn install(context: &Context, preference: ThemePreference) {
    context.set_theme(preference);
    for theme in [Theme::Light, Theme::Dark] {
        context.style_mut_of(theme, |style| apply(style, theme));
    }
}

fn apply(style: &mut Style, theme: Theme) {
    let font = |size| FontId::new(size, FontFamily::Proportional);
    style.text_styles = [
        (TextStyle::Heading, font(22.0)),
        (TextStyle::Body, font(14.0)),
        (TextStyle::Button, font(14.0)),
        (TextStyle::Small, font(12.0)),
        (
            TextStyle::Monospace,
            FontId::new(13.0, FontFamily::Monospace),
        ),
    ]
    .into();
    style.spacing.item_spacing = [8.0, 6.0].into();
    style.spacing.button_padding = [10.0, 4.0].into();
    style.spacing.interact_size.y = 26.0;

    let colours = Palette::of_theme(theme);
    let mut visuals = match theme {
        Theme::Light => Visuals::light(),
        Theme::Dark => Visuals::dark(),
    };
    visuals.panel_fill = colours.paper;
    visuals.window_fill = colours.surface;
    visuals.extreme_bg_color = colours.surface;
    visuals.text_edit_bg_color = Some(colours.surface);
    visuals.weak_text_color = Some(colours.muted);
    visuals.error_fg_color = colours.danger;
    visuals.selection.bg_fill = colours.mft.gamma_multiply(0.25);
    visuals.selection.stroke = Stroke::new(1.0, colours.mft);
    visuals.slider_trailing_fill = true;
    let widget = |fill, outline, ink| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, outline),
        fg_stroke: Stroke::new(1.0, ink),
        corner_radius: CornerRadius::same(6),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = widget(colours.surface, colours.line, colours.ink);
    visuals.widgets.inactive = widget(colours.sunken, colours.line, colours.ink);
    visuals.widgets.hovered = widget(colours.sunken, colours.muted, colours.ink);
    visuals.widgets.active = widget(colours.line, colours.mft, colours.ink);
    visuals.widgets.open = widget(colours.sunken, colours.muted, colours.ink);
    style.visuals = visuals;
}

/// Shows a button that switches the theme.
pub fn switch(ui: &mut Ui) {
    let (label, other) = match ui.theme() {
        Theme::Light => ("Dark", Theme::Dark),
        Theme::Dark => ("Light", Theme::Light),
    };
    if ui.small_button(label).clicked() {
        ui.ctx().set_theme(other);
    }
}
