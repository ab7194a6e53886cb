//! What two ServerSage exporters share.
//!
//! An exporter is a `Service` (a product with sessions and a table of collectors) or a `Prober` (free targets). The
//! framework runs its scrapes, holds the connection budget, exposes the result and gives it its commands. One scrape,
//! function by function: `http::serve` → `app` → `Flight` → `scrape` → `Sink` → `expo`.

pub mod app;
pub mod background;
pub mod budget;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod codes;
pub mod collector;
pub mod command;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod deadline;
pub mod desc;
pub mod error;
pub mod expo;
pub mod exporter;
pub mod flight;
pub mod http;
pub mod live;
pub mod login;
pub mod module;
pub mod net;
pub mod now;
pub mod os;
pub mod parse;
pub mod peer;
pub mod probe_log;
pub mod prober;
pub mod reload;
pub mod report;
pub mod run;
mod running;
pub mod scrape;
pub mod secret;
pub mod selfmon;
pub mod service;
pub mod service_app;
pub mod shipped;
pub mod sink;
pub mod tail;
pub mod tasks;
pub mod terminal;
pub mod timer;
pub mod tree;
pub mod walk;
pub mod web;
pub mod write;
