#!/usr/bin/env bash
# Writes the generated parts of the exporters' READMEs and of docs/ from the built programs themselves. A part stands between
#   <!-- generated: ARGUMENTS -->  and  <!-- end -->
# and is what the exporter prints when called with ARGUMENTS; "generated as text:" puts it in a code block.
# usage: docs.sh [--check]      --check only tells which file is stale (exit 1)
set -euo pipefail
cd "$(dirname "$0")/.."
binaries=${CARGO_TARGET_DIR:-target}/debug

# generate BINARY < README: the README with its parts as they should be
generate() {
  local line arguments inside=
  while IFS= read -r line || [ -n "$line" ]; do
    [ "$line" = "<!-- end -->" ] && inside=
    [ -z "$inside" ] && printf '%s\n' "$line"
    case $line in
      "<!-- generated: "*" -->" | "<!-- generated as text: "*" -->")
        inside=yes
        arguments=${line#*: } arguments=${arguments% -->}
        case $line in *"as text"*) echo '```text' ;; esac
        # shellcheck disable=SC2086  # several arguments
        COLUMNS=100 "$1" $arguments </dev/null || return 1
        case $line in *"as text"*) echo '```' ;; esac
        ;;
    esac
  done
  if [ -n "$inside" ]; then
    echo "docs: a generated part has no <!-- end -->" >&2
    return 1
  fi
}

status=0
for folder in exporters/*/ docs/; do
  readme=${folder}README.md
  name=sage-$(basename "$folder")-exporter
  # What all exporters print alike is taken from the first one built.
  if [ "$folder" = docs/ ]; then
    readme=docs/errors.md
    name=$(basename "$(ls "$binaries"/sage-*-exporter | head -n 1)")
  fi
  if ! grep -q '^<!-- generated' "$readme"; then
    echo "docs: $readme must exist and have a generated part" >&2
    exit 1
  fi
  fresh=$(generate "$binaries/$name" <"$readme") || { echo "docs: $readme: cannot run $name" >&2; exit 1; }
  if [ "$fresh" = "$(cat "$readme")" ]; then
    echo "docs: $readme is fresh"
  elif [ "${1:-}" = --check ]; then
    diff -u "$readme" <(printf '%s\n' "$fresh") | head -n 20 || true
    echo "docs: $readme is stale; run make docs" >&2
    status=1
  else
    printf '%s\n' "$fresh" >"$readme"
    echo "docs: $readme written"
  fi
done
exit $status
