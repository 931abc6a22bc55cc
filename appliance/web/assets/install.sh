#!/bin/sh
# Connects this machine to the box that it was fetched from, says all that it does, and takes it back: see --help.
# It is functions up to its last line, so half of it, cut off in transit, does nothing.

# @VALUES@

MARK='# ollama-appliance'
STATE=/var/lib/ollama-appliance-client
TRIES=5 # Of a blob: connections on a LAN break seldom, and each goes on where the last one ended.

usage() {
    cat <<END
Connect this machine to the box at $BOX_URL

  --trust               trust the box's CA: shows its fingerprint and asks; or --yes --fingerprint SHA256:...
  --hosts               lead $REGISTRY to the box by lines in /etc/hosts
  --proxy               have the Ollama service use the box as its proxy (systemd)
  --route               a route to the box's blob address, where it has one
  --pull MODEL          pull a model with this machine's own ollama
  --offline-copy MODEL  copy a model from the box into Ollama's store, every byte verified; no Ollama need run
  --list                what the box holds
  --check               does this machine find the box, trust it, and run Ollama?
  --undo                take back what --trust, --hosts, --proxy and --route did here

  --fingerprint F       what the CA's SHA-256 must be; then --offline-copy asks for its manifest over https, too
  --yes                 do not ask; only with --fingerprint
  --models DIR          Ollama's store, where it is not in the usual place
  --dry-run             say what would be done, and do nothing

As root:  curl -fsS $BOX_URL/install.sh | sudo sh -s -- --trust --hosts
END
}

say() { printf '%s\n' "$*"; }

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

need() {
    have "$1" || fail "$1 is needed and is not here: $(how_to_install "${2:-$1}")"
}

how_to_install() {
    for manager in 'apt-get install' 'dnf install' 'pacman -S' 'apk add' 'zypper install' 'brew install'; do
        if have "${manager%% *}"; then
            say "$manager $1"
            return
        fi
    done
    say "install $1"
}

need_root() {
    $dry_run || [ "$(id -u)" = 0 ] || fail "$1 needs root: curl -fsS $BOX_URL/install.sh | sudo sh -s -- $1 ..."
}

is_macos() { [ "$(uname -s)" = Darwin ]; }

run() {
    if $dry_run; then
        say "would run: $*"
    else
        "$@"
    fi
}

# From the box itself, whatever proxy the environment names.
fetch() { curl -fsS --noproxy '*' --connect-timeout 10 "$@"; }

# Standard input may be this very script: answers come from the terminal alone.
ask() {
    (: </dev/tty) 2>/dev/null || fail 'nobody can be asked here: use --yes --fingerprint SHA256:...'
    printf '%s [y/N] ' "$1" >/dev/tty
    read -r answer </dev/tty || answer=
    case $answer in
    [yY] | [yY][eE][sS]) ;;
    *) fail 'nothing was done' ;;
    esac
}

sha256_of() {
    if have sha256sum; then
        sha256sum <"$1" | cut -d ' ' -f 1
    elif have shasum; then
        shasum -a 256 <"$1" | cut -d ' ' -f 1
    else
        need openssl
        openssl dgst -sha256 <"$1" | sed 's/.* //'
    fi
}

# --- What is written, and how it is taken back. Each part has a directory under $STATE: `before`, what was there;
# `after`, the sha256 of what we wrote; `path`, written last and before the change itself.

# Writes $work/new to the path $2 for the part $1.
put() {
    if $dry_run; then
        say "would write $2"
        return
    fi
    mkdir -p "$STATE/$1"
    [ ! -e "$2" ] || cp -p "$2" "$STATE/$1/before"
    sha256_of "$work/new" >"$STATE/$1/after"
    say "$2" >"$STATE/$1/path"
    (umask 022 && cat "$work/new" >"$2") || fail "$2 cannot be written"
    say "wrote $2"
}

take_back() {
    kept=$STATE/$1
    [ -f "$kept/path" ] || return 0
    path=$(cat "$kept/path")
    if $dry_run; then
        say "would take back $path"
        return
    fi
    if [ ! -e "$path" ]; then
        say "$path is gone already"
    elif [ ! -e "$kept/before" ]; then
        rm -f "$path"
        say "removed $path"
    elif [ "$(sha256_of "$path")" = "$(cat "$kept/after")" ]; then
        cat "$kept/before" >"$path"
        say "put $path back as it was"
    else
        grep -v "$MARK\$" "$path" >"$work/new" || :
        cat "$work/new" >"$path"
        say "took our lines out of $path, which has changed since"
    fi
    rm -rf "$kept"
}

undo() {
    need_root --undo
    if [ ! -d "$STATE" ]; then
        say 'Nothing to undo here.'
        return
    fi
    if [ -f "$STATE/trust/path" ]; then is_trust=true; else is_trust=false; fi
    if [ -f "$STATE/proxy/path" ]; then is_proxy=true; else is_proxy=false; fi
    undo_route
    undo_proxy
    take_back hosts
    undo_trust
    $dry_run || rm -rf "$STATE"
    if $is_trust || $is_proxy; then restart_ollama; fi
}

restart_ollama() {
    if have systemctl && systemctl is-active --quiet ollama 2>/dev/null; then
        run systemctl restart ollama
    elif have rc-service && rc-service ollama status >/dev/null 2>&1; then
        run rc-service ollama restart
    else
        say 'Now restart Ollama, if it runs: it reads its certificates and its environment at start.'
    fi
}

# --- Trust.

trust() {
    need_root --trust
    need openssl
    find_trust_place
    fetch_ca
    $yes || $dry_run || ask "Trust it for $REGISTRY and $BLOB_HOST?"
    undo_trust
    find_trust_place
    install_ca
    restart_ollama
    say "For a container: docker run -v $bundle:/etc/ssl/certs/ca-certificates.crt:ro ... ollama/ollama"
}

# Where this system takes CAs from ($anchor), how it is told ($refresh), and the $bundle that comes of it.
find_trust_place() {
    bundle=/etc/ssl/certs/ca-certificates.crt
    refresh=update-ca-certificates
    if is_macos; then
        anchor=$STATE/trust/ca.pem refresh=:
    elif [ -d /usr/local/share/ca-certificates ] && have update-ca-certificates; then
        anchor=/usr/local/share/ca-certificates/ollama-appliance.crt
    elif [ -d /etc/pki/trust/anchors ] && have update-ca-certificates; then
        anchor=/etc/pki/trust/anchors/ollama-appliance.pem
    elif [ -d /etc/pki/ca-trust/source/anchors ] && have update-ca-trust; then
        anchor=/etc/pki/ca-trust/source/anchors/ollama-appliance.pem refresh='update-ca-trust extract'
        bundle=/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
    elif [ -d /etc/ca-certificates/trust-source/anchors ] && have update-ca-trust; then
        anchor=/etc/ca-certificates/trust-source/anchors/ollama-appliance.crt refresh=update-ca-trust
    else
        fail "this system's store of CAs is not known: $(how_to_install ca-certificates)"
    fi
}

# Leaves the box's CA in $work/ca.pem: one certificate, written anew, whose constraints and fingerprint are right.
fetch_ca() {
    fetch --max-filesize 65536 -o "$work/fetched" "$BOX_URL/ca.pem" || fail "$BOX_URL/ca.pem cannot be fetched"
    openssl x509 -in "$work/fetched" -out "$work/ca.pem" 2>/dev/null || fail 'what the box sent is no certificate'
    check_constraints
    found=$(openssl x509 -noout -fingerprint -sha256 -in "$work/ca.pem" | sed 's/.*=//')
    say "The box's CA has the fingerprint SHA256:$found"
    [ -z "$fingerprint" ] || [ "$(say "$found" | tr -d :)" = "$fingerprint" ] ||
        fail "that is not the fingerprint you gave: somebody is between this machine and the box, or it has a new CA"
}

# A CA that could speak for other names, or make other CAs, is not ours, whatever its fingerprint.
check_constraints() {
    if ! openssl x509 -noout -ext basicConstraints,nameConstraints -in "$work/ca.pem" >"$work/ext" 2>/dev/null; then
        openssl x509 -noout -text -in "$work/ca.pem" >"$work/ext" # LibreSSL, and OpenSSL before 1.1.1.
        ! grep -qi comment "$work/ext" || fail "$REFUSAL: it has a comment in which anything may stand"
    fi
    grep -A 1 'Basic Constraints: critical' "$work/ext" | grep -q 'CA:TRUE, pathlen:0$' ||
        fail "$REFUSAL: it can make other CAs, or is none"
    sed -n '/Name Constraints: critical/,/^ *X509v3 [^N]/p' "$work/ext" >"$work/names"
    sed '/Excluded:/,$d' "$work/names" | sed -n 's/^ *DNS://p' >"$work/permitted"
    [ -s "$work/permitted" ] || fail "$REFUSAL: nothing binds it to certain names"
    while read -r permitted; do
        case $permitted in
        "$REGISTRY" | "$BLOB_HOST") ;;
        *) fail "$REFUSAL: it can speak for $permitted" ;;
        esac
    done <"$work/permitted"
    sed '1,/Excluded:/d' "$work/names" | grep -q 'IP:0\.0\.0\.0/0\.0\.0\.0' || fail "$REFUSAL: it can speak for addresses"
}
REFUSAL='refused, this CA is not as a box makes it'

install_ca() {
    cp "$work/ca.pem" "$work/new"
    put trust "$anchor"
    if is_macos; then
        run security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain "$anchor"
    else
        refresh_trust
    fi
}

# With --fresh where something was taken out: Debian's leaves a dead link without.
refresh_trust() {
    case $refresh in update-ca-certificates) refresh="$refresh $*" ;; esac
    # shellcheck disable=SC2086  # A command and its words.
    if $dry_run; then
        say "would run: $refresh"
    elif ! $refresh >"$work/said" 2>&1; then
        cat "$work/said" >&2
        fail "$refresh failed"
    fi
}

undo_trust() {
    [ -f "$STATE/trust/path" ] || return 0
    find_trust_place
    if is_macos; then
        run security remove-trusted-cert -d "$(cat "$STATE/trust/path")" || say 'the keychain did not trust it any more'
    fi
    take_back trust
    refresh_trust --fresh
}

# --- The ways to the box.

hosts() {
    need_root --hosts
    case $BOX_ADDRESS in *%*) fail 'fetch this script by an address of the box that is no link-local one' ;; esac
    take_back hosts
    [ ! -f /etc/hosts ] || cat /etc/hosts >"$work/hosts" || fail '/etc/hosts cannot be read'
    touch "$work/hosts"
    ! $dry_run || [ ! -f "$STATE/hosts/path" ] || take_lines_out
    for name in "$REGISTRY" "$BLOB_HOST"; do
        ! names_host "$name" || fail "/etc/hosts already says where $name is: take that line out first"
    done
    {
        cat "$work/hosts"
        [ -z "$(tail -c 1 "$work/hosts")" ] || say ''
        say "$BOX_ADDRESS $REGISTRY $MARK"
        [ -z "$BLOB_ADDRESS" ] || say "$BLOB_ADDRESS $BLOB_HOST $MARK"
    } >"$work/new"
    put hosts /etc/hosts
    grep "$MARK\$" "$work/new"
}

take_lines_out() {
    grep -v "$MARK\$" "$work/hosts" >"$work/without" || :
    mv "$work/without" "$work/hosts"
}

names_host() {
    awk -v name="$1" '{ sub(/#.*/, ""); for (i = 2; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }' \
        "$work/hosts"
}

proxy() {
    [ -n "$PROXY_URL" ] || fail 'this box is no proxy: its operator has switched that off'
    if is_macos; then
        say "As the user who runs Ollama: launchctl setenv HTTPS_PROXY $PROXY_URL; then quit Ollama and start it again."
        say 'To undo it: launchctl unsetenv HTTPS_PROXY'
        return
    fi
    have systemctl || fail "no systemd here: put HTTPS_PROXY=$PROXY_URL into the environment of ollama serve"
    need_root --proxy
    undo_proxy
    directory=/etc/systemd/system/ollama.service.d
    if ! $dry_run && [ ! -d "$directory" ]; then
        mkdir -p "$STATE/proxy" "$directory"
        touch "$STATE/proxy/made-directory"
    fi
    printf '[Service]\nEnvironment=HTTPS_PROXY=%s\n' "$PROXY_URL" >"$work/new"
    put proxy "$directory/ollama-appliance.conf"
    run systemctl daemon-reload || say 'systemd did not hear of it: systemctl daemon-reload'
    restart_ollama
    say "The Ollama service must trust the box's CA, too: --trust."
}

undo_proxy() {
    [ -d "$STATE/proxy" ] || return 0
    made=false
    [ ! -e "$STATE/proxy/made-directory" ] || made=true
    take_back proxy
    $dry_run || ! $made || rmdir /etc/systemd/system/ollama.service.d 2>/dev/null || :
    $dry_run || rm -rf "$STATE/proxy"
    run systemctl daemon-reload || say 'systemd did not hear of it: systemctl daemon-reload'
}

lead_to_blobs() {
    need_root --route
    case $BLOB_ADDRESS,$BOX_ADDRESS in
    ,*) fail 'this box has no blob address: see "The newest Ollama and private addresses" in its docs/OPERATING.md' ;;
    *:*) say "The blob address $BLOB_ADDRESS needs no route." && return ;;
    esac
    is_macos || need ip iproute2
    undo_route
    if $dry_run; then
        say "would add a route to $BLOB_ADDRESS by $BOX_ADDRESS"
        return
    fi
    mkdir -p "$STATE/route"
    say "$BLOB_ADDRESS" >"$STATE/route/to"
    say "$BOX_ADDRESS" >"$STATE/route/via"
    if ! add_route; then
        rm -rf "$STATE/route"
        fail "the route to $BLOB_ADDRESS by $BOX_ADDRESS could not be added"
    fi
    say "A route to $BLOB_ADDRESS by $BOX_ADDRESS, until this machine starts again."
}

add_route() {
    if is_macos; then
        route -n add -host "$BLOB_ADDRESS" "$BOX_ADDRESS"
    else
        ip route add "$BLOB_ADDRESS/32" via "$BOX_ADDRESS"
    fi
}

undo_route() {
    [ -f "$STATE/route/via" ] || return 0
    to=$(cat "$STATE/route/to") via=$(cat "$STATE/route/via")
    if is_macos; then
        run route -n delete -host "$to" || say "there was no route to $to any more"
    else
        run ip route del "$to/32" via "$via" || say "there was no route to $to any more"
    fi
    $dry_run || rm -rf "$STATE/route"
}

# --- Models.

# Sets $namespace, $name and $tag from what a person types.
split_model() {
    tag=latest namespace=library name=$1
    case $name in *:*) tag=${name##*:} name=${name%:*} ;; esac
    case $name in */*) namespace=${name%/*} name=${name##*/} ;; esac
    for part in "$namespace" "$name" "$tag"; do
        case $part in
        '' | [!A-Za-z0-9_]* | *[!A-Za-z0-9_.-]*) fail "not the name of a model in $REGISTRY: $1" ;;
        esac
    done
}

# The store of this machine's Ollama: the service's, or that of the user who runs it.
find_store() {
    [ -z "$models" ] || return 0
    models=${OLLAMA_MODELS:-}
    [ -z "$models" ] || return 0
    user_home=${HOME:-/}
    case ${SUDO_USER:-} in
    '' | *[!A-Za-z0-9_.-]*) ;;
    *) user_home=$(eval "printf '%s' ~$SUDO_USER") ;;
    esac
    for models in /usr/share/ollama/.ollama/models /var/lib/ollama/models "$user_home/.ollama/models"; do
        [ ! -d "$models" ] || return 0
    done
    fail 'no store of Ollama was found: use --models DIR'
}

copy_model() {
    split_model "$1"
    find_store
    [ -d "$models" ] || fail "there is no directory $models"
    if $dry_run; then
        say "would copy $namespace/$name:$tag into $models"
        return
    fi
    [ -w "$models" ] || fail "$models cannot be written by $(id -un): as root, by sudo"
    read_owner
    fetch_manifest
    partial=$models/.ollama-appliance # On the disk of the store; Ollama itself looks into blobs and manifests only.
    make_directory "$models/blobs"
    make_directory "$partial"
    while read -r digest; do
        [ -f "$models/blobs/sha256-$digest" ] || copy_blob "$digest"
    done <"$work/digests"
    rmdir "$partial" 2>/dev/null || :
    write_manifest
    say "Copied $name:$tag into $models; \`ollama rm\` removes it."
}

# Whose the store is and who may read it: what is copied will be the same.
read_owner() {
    # shellcheck disable=SC2012  # POSIX has no other way to ask.
    listed=$(ls -ldn "$models/.")
    owner=$(say "$listed" | awk '{ print $3 ":" $4 }')
    directory_mode=u=rwx file_mode=u=rw
    case $listed in ????r*) directory_mode=$directory_mode,g=rx file_mode=$file_mode,g=r ;; *) directory_mode=$directory_mode,g= file_mode=$file_mode,g= ;; esac
    case $listed in ???????r*) directory_mode=$directory_mode,o=rx file_mode=$file_mode,o=r ;; *) directory_mode=$directory_mode,o= file_mode=$file_mode,o= ;; esac
}

belong() {
    chmod "$1" "$2" || fail "$2 cannot be given its mode"
    [ "$(id -u)" != 0 ] || chown "$owner" "$2" || fail "$2 cannot be given to $owner"
}

make_directory() {
    [ ! -d "$1" ] || return 0
    case $1 in "$models"/*/*) make_directory "${1%/*}" ;; esac
    mkdir "$1" || fail "$1 cannot be made"
    belong "$directory_mode" "$1"
}

# Leaves the manifest in $work/manifest and what it lists in $work/digests. Over https where the CA is known.
fetch_manifest() {
    path=v2/$namespace/$name/manifests/$tag
    accept='Accept: application/vnd.docker.distribution.manifest.v2+json'
    if [ -n "$fingerprint" ]; then
        need openssl
        fetch_ca
        fetch -H "$accept" --max-filesize 4194304 --cacert "$work/ca.pem" -o "$work/manifest" \
            --connect-to "$REGISTRY:443:$BOX_HOST:$TLS_PORT" "https://$REGISTRY/$path" || fail "the box has no $namespace/$name:$tag and cannot fetch it"
    else
        fetch -H "$accept" --max-filesize 4194304 -o "$work/manifest" "$BOX_URL/$path" ||
            fail "the box has no $namespace/$name:$tag and cannot fetch it"
    fi
    tr -d ' \t\r\n' <"$work/manifest" | grep -o '"digest":"[^"]*"' | sort -u >"$work/listed"
    sed -n 's/^"digest":"sha256:\([0-9a-f]\{64\}\)"$/\1/p' "$work/listed" >"$work/digests"
    [ -s "$work/digests" ] && [ "$(wc -l <"$work/digests")" = "$(wc -l <"$work/listed")" ] ||
        fail 'the box sent a manifest that cannot be read'
}

copy_blob() {
    say "sha256:$1"
    if ! fetch_blob "$1" || [ "$(sha256_of "$partial/$1")" != "$1" ]; then
        say 'What came is not what it should be; once more, from the beginning.'
        rm -f "$partial/$1"
        fetch_blob "$1" || fail "sha256:$1 cannot be fetched; what has come is kept, and goes on at the next try"
        if [ "$(sha256_of "$partial/$1")" != "$1" ]; then
            rm -f "$partial/$1"
            fail "the bytes of sha256:$1 are wrong, twice: nothing of this model is in the store's list"
        fi
    fi
    belong "$file_mode" "$partial/$1"
    mv "$partial/$1" "$models/blobs/sha256-$1"
}

fetch_blob() {
    [ ! -f "$partial/$1" ] || [ "$(sha256_of "$partial/$1")" != "$1" ] || return 0
    tried=0
    while [ "$tried" -lt "$TRIES" ]; do
        fetch $progress -L -C - -o "$partial/$1" "$BOX_URL/v2/$namespace/$name/blobs/sha256:$1" && return
        tried=$((tried + 1))
    done
    return 1
}

# Last of all, so that Ollama lists no model that is not there.
write_manifest() {
    while read -r digest; do
        [ -f "$models/blobs/sha256-$digest" ] || fail "sha256:$digest was removed meanwhile: try again"
    done <"$work/digests"
    shelf=$models/manifests/$REGISTRY/$namespace/$name
    make_directory "$shelf"
    cp "$work/manifest" "$shelf/.$tag.new"
    belong "$file_mode" "$shelf/.$tag.new"
    mv "$shelf/.$tag.new" "$shelf/$tag"
}

pull_model() {
    split_model "$1"
    have ollama || fail 'there is no ollama here: https://ollama.com/download, or use --offline-copy'
    run ollama pull "$1"
}

list() {
    fetch -o "$work/models" "$BOX_URL/api/models" || fail "$BOX_URL does not answer"
    awk -F '"' '
        $2 == "name" { name = $4 } $2 == "tag" { tag = $4 } $2 == "size" { split($3, n, /[:, ]+/); size = n[2] }
        $2 == "complete" { printf "%-50s %9.1f MB%s\n", name ":" tag, size / 1000000, $3 ~ /true/ ? "" : "  (not whole yet)" }
    ' "$work/models"
}

# --- Whether it works.

check() {
    if leads_to_box; then
        say "ok: $REGISTRY leads to the box"
    else
        trouble "$REGISTRY does not lead to the box: its DNS, or --hosts; not needed where Ollama has the box as its proxy"
    fi
    if verifies; then
        say "ok: this system trusts the box's CA"
    else
        trouble "this system does not trust the box's CA: --trust; not needed for \`ollama pull --insecure\`"
    fi
    if fetch -m 10 -o /dev/null "$(ollama_url)/api/version" 2>/dev/null; then
        say 'ok: Ollama runs'
    else
        trouble "Ollama does not answer at $(ollama_url): ollama serve"
    fi
}

trouble() {
    say "NO: $*"
    code=1
}

leads_to_box() {
    fetch -m 10 -o "$work/there" "http://$REGISTRY:$WEB_PORT/check" 2>/dev/null || return 1
    fetch -m 10 -o "$work/here" "$BOX_URL/check" && cmp -s "$work/there" "$work/here"
}

# With the system's own CAs, as Ollama has them.
verifies() {
    fetch -m 10 -o /dev/null --connect-to "$REGISTRY:443:$BOX_HOST:$TLS_PORT" "https://$REGISTRY/v2/" 2>/dev/null
}

ollama_url() {
    host=${OLLAMA_HOST:-127.0.0.1:11434}
    case $host in
    *://*) say "$host" ;;
    *:*) say "http://$host" ;;
    *) say "http://$host:11434" ;;
    esac
}

# --- From words to deeds.

read_words() {
    wishes='' to_pull='' to_copy='' models='' fingerprint='' yes=false dry_run=false
    while [ $# -gt 0 ]; do
        case $1 in
        --trust | --hosts | --proxy | --route | --list | --check | --undo) wishes="$wishes ${1#--}" ;;
        --pull | --offline-copy | --models | --fingerprint)
            [ $# -gt 1 ] && [ -n "$2" ] || fail "$1 needs a word after it: see --help"
            case $1 in
            --pull) to_pull=$2 ;;
            --offline-copy) to_copy=$2 ;;
            --models) models=${2%/} ;;
            --fingerprint) fingerprint=$2 ;;
            esac
            shift
            ;;
        --yes) yes=true ;;
        --dry-run) dry_run=true ;;
        --help) wishes=help ;;
        *) fail "unknown: $1; see --help" ;;
        esac
        shift
    done
    read_fingerprint
    ! $yes || [ -n "$fingerprint" ] || fail '--yes needs --fingerprint SHA256:..., from the page or from whoever runs the box'
}

read_fingerprint() {
    [ -n "$fingerprint" ] || return 0
    fingerprint=$(say "${fingerprint#[Ss][Hh][Aa]256:}" | tr -d : | tr abcdef ABCDEF)
    case ${#fingerprint},$fingerprint in
    *,*[!0-9A-F]*) fail 'a fingerprint is SHA256: and 64 hexadecimal digits' ;;
    64,*) ;;
    *) fail 'a fingerprint is SHA256: and 64 hexadecimal digits' ;;
    esac
}

is_wished() { case " $wishes " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

main() {
    set -eu
    read_words "$@"
    exec </dev/null
    if is_wished help || [ -z "$wishes$to_pull$to_copy" ]; then
        usage
        exit
    fi
    need curl
    code=0
    work=$(mktemp -d "${TMPDIR:-/tmp}/ollama-appliance.XXXXXX") || fail 'no directory for temporary files could be made'
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    if [ -t 2 ]; then progress=--progress-bar; else progress=-sS; fi
    ! is_wished undo || undo
    ! is_wished list || list
    ! is_wished trust || trust
    ! is_wished hosts || hosts
    ! is_wished route || lead_to_blobs
    ! is_wished proxy || proxy
    [ -z "$to_copy" ] || copy_model "$to_copy"
    [ -z "$to_pull" ] || pull_model "$to_pull"
    ! is_wished check || check
    exit "$code"
}

main "$@"
