#!/usr/bin/env bash
# All that CI runs, stage by stage; stops at the first stage that fails. The last line sums up the tests of all stages.
# usage: test.sh [STAGE...]      all stages without arguments
set -uo pipefail
cd "$(dirname "$0")/.."
all=(setup format clippy build unit e2e rules docs demo)
stages=("$@")
[ $# -eq 0 ] && stages=("${all[@]}")

stage_setup() { scripts/setup.sh; }
stage_format() { cargo fmt --all --check; }
stage_clippy() {
  cargo clippy --workspace --all-targets -- -D warnings || return 1
  # The fuzz targets are a workspace of their own. The path stands for libFuzzer, which a check does not link.
  CUSTOM_LIBFUZZER_PATH=none/libnone.a cargo check --manifest-path fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}"
}
# The tests run the programs that users run.
stage_build() { cargo build --workspace --bins; }
stage_unit() { cargo test --workspace --lib --bins --no-fail-fast && cargo test --workspace --doc; }
# Two at a time: each starts servers of its own. The drills of the alerts mostly wait for rules to fire: they run beside the
# others, and are shown after them.
stage_e2e() {
  local file name drills=() others=() shown status=0
  for file in tests/e2e/*.rs; do
    name=$(basename "$file" .rs)
    case $name in *alerts*) drills+=(--test "$name") ;; *) others+=(--test "$name") ;; esac
  done
  cargo test --workspace --test '*' --no-run || return 1
  shown=$(mktemp)
  cargo test --workspace "${drills[@]}" --no-fail-fast >"$shown" 2>&1 &
  trap "kill $! 2>/dev/null" INT TERM
  cargo test --workspace "${others[@]}" --no-fail-fast -- --test-threads=2 || status=1
  wait $! || status=1
  cat "$shown"
  rm -f "$shown"
  return $status
}
stage_rules() {
  local tests=(alert-rules/*.test.yml) file
  local rules=()
  for file in alert-rules/*.yml alert-rules/generated/*.yml; do
    case $file in *.test.yml | alert-rules/thresholds.yml) ;; *) rules+=("$file") ;; esac
  done
  promtool check rules "${rules[@]}" && printf '%s\n' "${tests[@]}" | xargs -n 1 -P "$(nproc)" promtool test rules
}
stage_docs() { scripts/docs.sh --check; }
stage_demo() { ONCE=1 "${CARGO_TARGET_DIR:-target}/debug/demo"; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
for stage in "${stages[@]}"; do
  if ! declare -F "stage_$stage" >/dev/null; then
    echo "test: no stage $stage; there are: ${all[*]}" >&2
    exit 2
  fi
  begin=$SECONDS
  echo "=== $stage"
  if ! "stage_$stage" 2>&1 | tee -a "$log"; then
    echo "=== $stage FAILED after $((SECONDS - begin)) s"
    status=1
    break
  fi
  echo "=== $stage: fine, $((SECONDS - begin)) s"
done

echo
grep -E '^test result: ' "$log" | grep -v ' 0 passed; 0 failed; 0 ignored' || true
awk '
  /^test result: / { passed += $4; failed += $6; skipped += $8 }
  END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' "$log"
exit $status
