//! What two ServerSage exporters share.
//!
//! An exporter is a `Service` (a product with sessions and a table of collectors) or a `Prober` (free targets). The
//! framework runs its scrapes, holds the connection budget, exposes the result and gives it its commands.
//!
//! - **One scrape**, function by function: `http::serve` → `app` → `scrape::flight` → `scrape` → `sink` → `expo`.
//! - **What lives between scrapes** of a target (session, budget, timers): `targets`. What the two kinds of exporters make of
//!   `app`: `service`, `prober`.
//! - **What an exporter's author uses**: `desc` (metrics), `collector` (the table), `sink` (`put!`), `error`, `net`, `page`
//!   (products read over a status page), `tail`, `parse`, `os`.
//! - **What a user sees of it**: `cli`, `config`, `commands`, `web` (TLS and passwords of our own port), `codes` (numbers of
//!   errors), `peer` (the exporter whose place we take).

pub mod app;
pub mod cli;
pub mod codes;
pub mod collector;
pub mod commands;
pub mod config;
pub mod deadline;
pub mod desc;
pub mod error;
pub mod expo;
pub mod exporter;
pub mod http;
pub mod net;
pub mod os;
pub mod page;
pub mod parse;
pub mod peer;
pub mod prober;
pub mod reload;
pub mod scrape;
pub mod selfmon;
pub mod service;
pub mod sink;
pub mod tail;
pub mod targets;
pub mod tasks;
pub mod web;
