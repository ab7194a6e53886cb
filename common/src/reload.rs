//! The configuration in force, and the next one: SIGHUP and `POST /-/reload` read file and web configuration anew.
//!
//! A configuration that cannot be used changes nothing: the last good one stays in force, log and series say so. Flags and
//! environment are those of the start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::app::App;
use crate::app::Program;
use crate::cli::{CommonFlags, Switches};
use crate::config;
use crate::error::Invalid;
use crate::os;
use crate::web::Web;

/// How the last load of the configuration went.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// It succeeded.
    pub success: bool,
    /// When what is in force was loaded.
    pub at: SystemTime,
}

/// The configuration in force, whatever the exporter.
pub trait InForce: Send + Sync + 'static {
    /// The exporter as it is configured now. Who asks keeps it until he is answered, whatever is loaded meanwhile.
    fn app(&self) -> Arc<dyn App>;

    /// How the last load went.
    fn loaded(&self) -> Loaded;

    /// Loads the configuration anew.
    ///
    /// # Errors
    /// What is wrong with it; it is in the log as well. The last good one stays in force.
    fn reload(&self) -> Result<(), Invalid>;
}

/// The configuration in force of one exporter, and what is needed to load it anew.
pub struct Current<P: Program> {
    common: CommonFlags,
    flags: P::Flags,
    switches: Switches,
    web: Arc<Web>,
    app: Mutex<Arc<P>>,
    last: Mutex<Loaded>,
    /// Held by the one reload that runs.
    turn: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Program> Current<P> {
    /// Loads the first configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(common: CommonFlags, flags: P::Flags, switches: Switches, web: Arc<Web>) -> Result<Self, Invalid> {
        let app = P::load(&common, &flags, &switches).map_err(|error| config::placed(error, common.config_file.as_deref()))?;
        let app = Arc::new(app);
        app.in_force();
        let last = Loaded { success: true, at: SystemTime::now() };
        Ok(Self { common, flags, switches, web, app: Mutex::new(app), last: Mutex::new(last), turn: Mutex::default() })
    }

    fn replace(&self) -> Result<(), Invalid> {
        let before = Arc::clone(&lock(&self.app));
        let next = P::load_after(&before, &self.common, &self.flags, &self.switches);
        match next.map_err(|error| config::placed(error, self.common.config_file.as_deref())) {
            Ok(next) => {
                let next = Arc::new(next);
                *lock(&self.app) = Arc::clone(&next);
                *lock(&self.last) = Loaded { success: true, at: SystemTime::now() };
                let changes = before.hand_over(&next);
                next.in_force();
                tracing::info!(changes, "the configuration was read anew and is in force");
                Ok(())
            }
            Err(error) => {
                lock(&self.last).success = false;
                tracing::error!(
                    error = error.message,
                    hint = error.advice(),
                    code = error.code.id,
                    "the configuration is refused; the last good one stays in force"
                );
                Err(error)
            }
        }
    }
}

impl<P: Program> InForce for Current<P> {
    fn app(&self) -> Arc<dyn App> {
        Arc::clone(&lock(&self.app)) as Arc<dyn App>
    }

    fn loaded(&self) -> Loaded {
        *lock(&self.last)
    }

    fn reload(&self) -> Result<(), Invalid> {
        let _turn = lock(&self.turn);
        os::notify::reloading();
        // Each stands for itself: what is good in one is taken though the other is refused.
        let (app, web) = (self.replace(), self.web.again());
        os::notify::ready();
        app.and(web)
    }
}
