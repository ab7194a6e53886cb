//! How one series or column is shown: the defaults of the panel with its overrides laid over them, as Grafana does it.

use regex::Regex;
use serde_json::{Value, json};

use super::unit;

/// The colours of series without one of their own, in order.
const PALETTE: [&str; 14] = [
    "#73bf69", "#fade2a", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#37872d", "#e0b400", "#1f60c4", "#fa6400", "#c4162a",
    "#8f3bb8", "#96d98d",
];

/// The settings of one series or column.
#[derive(Debug)]
pub struct Field {
    config: Value,
}

impl Field {
    /// The settings for the series of this name (as shown) from the query `ref_id`.
    ///
    /// # Errors
    /// A matcher that this does not know.
    pub fn of(field_config: &Value, ref_id: &str, name: &str) -> Result<Self, String> {
        let mut config = field_config.get("defaults").cloned().unwrap_or_else(|| json!({}));
        for one in array(&field_config["overrides"]) {
            let options = one["matcher"]["options"].as_str().unwrap_or_default();
            let fits = match one["matcher"]["id"].as_str().unwrap_or_default() {
                "byName" => options == name,
                "byFrameRefID" => options == ref_id,
                "byRegexp" => Regex::new(options.trim_matches('/')).map_err(|e| e.to_string())?.is_match(name),
                other => return Err(format!("no picture of the matcher {other}")),
            };
            for property in array(&one["properties"]).iter().filter(|_| fits) {
                set(&mut config, property["id"].as_str().unwrap_or_default(), property["value"].clone());
            }
        }
        Ok(Self { config })
    }

    /// A setting by its path, such as `/custom/lineWidth`; null where there is none.
    #[must_use]
    pub fn get(&self, path: &str) -> &Value {
        self.config.pointer(path).unwrap_or(&Value::Null)
    }

    /// A number by its path.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<f64> {
        self.get(path).as_f64()
    }

    /// A text by its path, empty where there is none.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        self.get(path).as_str().unwrap_or_default()
    }

    /// The unit's name.
    #[must_use]
    pub fn unit(&self) -> &str {
        self.text("/unit")
    }

    /// A value as it is shown: mapped to a text, or with its unit.
    ///
    /// # Errors
    /// As [`unit::format`].
    pub fn show(&self, value: f64) -> Result<String, String> {
        if let Some(text) = self.mapped(value).and_then(|m| m["text"].as_str()) {
            return Ok(text.to_owned());
        }
        unit::format(value, self.unit(), self.number("/decimals").map(|d| d as usize))
    }

    fn mapped(&self, value: f64) -> Option<&Value> {
        array(self.get("/mappings")).iter().find_map(|mapping| {
            let options = &mapping["options"];
            match mapping["type"].as_str()? {
                "value" => options.get(value.to_string()),
                "range" => {
                    let above = options["from"].as_f64().is_none_or(|from| value >= from);
                    (above && options["to"].as_f64().is_none_or(|to| value <= to)).then(|| &options["result"])
                }
                _ => None,
            }
        })
    }

    /// The colour that mappings or thresholds give a value.
    #[must_use]
    pub fn judged(&self, value: f64) -> String {
        if let Some(name) = self.mapped(value).and_then(|m| m["color"].as_str()) {
            return colour(name);
        }
        let steps = array(self.get("/thresholds/steps"));
        let fits = steps.iter().rev().find(|s| s["value"].as_f64().is_none_or(|from| value >= from));
        colour(fits.and_then(|s| s["color"].as_str()).unwrap_or("green"))
    }

    /// The colour of the series at this place among all of its panel.
    #[must_use]
    pub fn colour(&self, place: usize) -> String {
        match (self.text("/color/mode"), self.text("/color/fixedColor")) {
            ("fixed", name) if !name.is_empty() => colour(name),
            _ => PALETTE[place % PALETTE.len()].to_owned(),
        }
    }
}

fn set(config: &mut Value, id: &str, value: Value) {
    let mut place = config;
    for name in id.split('.') {
        place = &mut place[name];
    }
    *place = value;
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A colour's name in Grafana's dark theme as HTML takes it.
fn colour(name: &str) -> String {
    let known = match name {
        "green" => "#73bf69",
        "dark-green" => "#37872d",
        "yellow" => "#fade2a",
        "orange" => "#ff9830",
        "dark-orange" => "#fa6400",
        "red" => "#f2495c",
        "dark-red" => "#c4162a",
        "blue" => "#5794f2",
        "light-blue" => "#8ab8ff",
        "purple" => "#b877d9",
        "text" => "#ccccdc",
        "transparent" => "transparent",
        other => other,
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::Field;
    use serde_json::json;

    #[test]
    fn overrides_lie_over_defaults() {
        let config = json!({
            "defaults": {"unit": "s", "custom": {"fillOpacity": 5}, "thresholds": {"steps": [{"color": "green", "value": null}, {"color": "red", "value": 10}]}},
            "overrides": [
                {"matcher": {"id": "byFrameRefID", "options": "B"}, "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash"}}, {"id": "unit", "value": "short"}]},
                {"matcher": {"id": "byName", "options": "db01 up"}, "properties": [{"id": "mappings", "value": [{"type": "value", "options": {"1": {"text": "yes", "color": "blue"}}}]}]},
                {"matcher": {"id": "byRegexp", "options": "/limit$/"}, "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}]},
            ],
        });
        let plain = Field::of(&config, "A", "x").unwrap();
        assert_eq!((plain.unit(), plain.number("/custom/fillOpacity"), plain.show(1.5).unwrap().as_str()), ("s", Some(5.0), "1.50 s"));
        assert_eq!(
            (plain.judged(9.0), plain.judged(10.0), plain.colour(14)),
            ("#73bf69".to_owned(), "#f2495c".to_owned(), plain.colour(0))
        );
        let second = Field::of(&config, "B", "the limit").unwrap();
        assert_eq!((second.unit(), second.text("/custom/lineStyle/fill"), second.colour(0)), ("short", "dash", "#f2495c".to_owned()));
        let mapped = Field::of(&config, "A", "db01 up").unwrap();
        assert_eq!(
            (mapped.show(1.0).unwrap(), mapped.judged(1.0), mapped.show(2.0).unwrap()),
            ("yes".into(), "#5794f2".into(), "2 s".into())
        );
        let odd = json!({"overrides": [{"matcher": {"id": "byMood"}}]});
        assert_eq!(Field::of(&odd, "A", "x").unwrap_err(), "no picture of the matcher byMood");
    }
}
