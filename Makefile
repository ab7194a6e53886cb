# Each target does its own set-up on a fresh Debian 12 machine with Rust (scripts/setup.sh tells what it installs and why).
.PHONY: demo test lint windows-check bench soak instructions docs pictures

BINARIES = $${CARGO_TARGET_DIR:-target}

# A real PostgreSQL, all exporters, Prometheus and Alertmanager until Ctrl-C; ONCE=1: check and exit;
# BREAK=lock, connections, replication, memory, rejected, replication-redis, site or workers: break that and print the alert.
demo:
	@scripts/setup.sh demo
	cargo build --workspace --bins
	@exec "$(BINARIES)/debug/demo"

# All that CI runs.
test:
	@scripts/test.sh

# The part of the tests that needs no server.
lint:
	@scripts/test.sh format clippy build rules docs

# common and all exporters, with their unit tests, compiled for Windows: checked, not linked and not run. The crate of the
# end-to-end tests stays out: it starts servers and signals processes as only Unix has them.
windows-check:
	@scripts/setup.sh windows-check
	AWS_LC_SYS_PREBUILT_NASM=1 cargo check --workspace --exclude e2e --all-targets --target x86_64-pc-windows-gnu

# Figures beside the peer, release build.
bench:
	@scripts/setup.sh bench
	cargo build --release --workspace --bins
	@exec "$(BINARIES)/release/bench"

# 100,000 scrapes of PostgreSQL and of Redis with a fault every hundred, then 1,000 in a second for a minute; what must not
# grow is judged. SOAK="redis 20000" is one of them with fewer scrapes.
soak:
	@scripts/setup.sh
	cargo build --release --workspace --bins
	@exec "$(BINARIES)/release/soak" $(SOAK)

# Instructions of a scrape beside those kept in tests/instructions.toml, which WRITE=1 writes anew.
instructions:
	@scripts/setup.sh instructions
	cargo build --release --workspace --bins
	@exec "$(BINARIES)/release/instructions" $(if $(WRITE),--write)

# Previews of the dashboards over real data, for a person to look at: target/pictures.
pictures:
	@scripts/setup.sh pictures
	cargo build --workspace --bins
	@exec "$(BINARIES)/debug/pictures"

# Rewrites the generated parts of the exporters' READMEs.
docs:
	cargo build --workspace --bins
	@scripts/docs.sh
