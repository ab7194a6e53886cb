//! The table of numbers, in their order. A number that is no longer used stays out of use, as SG-0204; a new cause gets the
//! next one of its group: 01 configuration, 02 own port, 03 watched server, 04 commands, 05 command line, 06 requests.
//!
//! Name, number, what it is, what to run or write where nobody knows better, what is usually behind it, and the reasons of
//! products (labels of `sage_error` and `probe_error_info`) that have this number.

use super::{Code, Row};

macro_rules! codes {
    ($($name:ident $id:literal $title:literal => $hint:literal $help:literal [$($reason:literal),*];)*) => {
        $(#[doc = $title] pub const $name: Code = Code(&Row { id: $id, title: $title, hint: $hint, help: $help, reasons: &[$($reason),*] });)*

        /// All numbers, in their order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    CONFIG "SG-0100" "The configuration cannot be used"
        => "config validate --config.file=FILE tries a file without starting anything; example.yml has all settings"
        "A setting makes no sense where it stands. The message names it." [];
    FILE "SG-0101" "A file cannot be read"
        => "namei -l FILE shows each step to the file"
        "It is a folder, is no text, or the disk has a fault." [];
    SYNTAX "SG-0102" "A file is not what it should be"
        => "compare it with example.yml: blanks instead of tabs, one after each colon, equal indentation, quotes and brackets closed; single quotes around a text with a backslash or a colon, or that begins with one of * & % @"
        "It is no YAML. Line and column are those of the message." [];
    UNKNOWN_KEY "SG-0103" "A key is not known"
        => "example.yml has all keys"
        "Mostly a typing error, or a key on the wrong level. The hint has the word that is nearest. Nothing is ignored in silence." [];
    SECRET_IN_FILE "SG-0104" "A secret stands in the configuration"
        => "write password_file: /path/to/file and put it there"
        "It belongs in a file of its own that only the service can read, in a credential of systemd, or in the environment. Take it out, and change it: others may have read it." [];
    FILE_MISSING "SG-0105" "A file is not there"
        => "ls -l FILE"
        "A typing error in its path, or a path that is relative to another folder: that of a service is mostly `/`." [];
    FILE_DENIED "SG-0106" "A file may not be read"
        => "namei -l FILE shows each step; sudo -u USER cat FILE tries it"
        "The user of the service may not read it, or not enter a folder above it." [];
    UNKNOWN_VALUE "SG-0107" "A value is not known"
        => "example.yml has the values that are taken"
        "The setting takes certain words only. The hint has the one that is nearest, or all of them." [];
    UNKNOWN_NAME "SG-0108" "Nothing has this name"
        => "print-config shows all names"
        "A target, module, collector, alert or login is named that is not there. The hint has those that are." [];
    WRONG_KIND "SG-0109" "A value is of another kind"
        => "compare the line with example.yml"
        "A number, true or false, a list or settings of its own are expected there. Text with a colon, and words like `yes`, want quotes." [];
    DURATION "SG-0110" "A time has no unit"
        => "write it as 500ms, 5s, 1m or 1h"
        "A bare number could be seconds or milliseconds, so it is not taken." [];
    TWICE "SG-0111" "Something stands twice"
        => "leave one of them out, or give it another name"
        "Of two keys of one name YAML would take one and say nothing; of two targets, one would hide the other." [];
    CONFLICT "SG-0112" "Two settings do not fit"
        => "leave one of them out"
        "Each makes sense alone; together they contradict each other, or one has no effect." [];
    RANGE "SG-0113" "A value is out of range"
        => "example.yml shows values that are usual"
        "It is zero where that means never, or larger or smaller than what works." [];
    INCOMPLETE "SG-0114" "A setting is missing"
        => "example.yml shows the settings that belong together"
        "Nothing works without it, or another one needs it: a certificate its key, a user a password." [];
    NOT_HERE "SG-0115" "This exporter does not do that"
        => "leave the setting out; the README tells what takes its place"
        "A setting of the exporter that this one replaces, or of a newer version. It is refused, since what is ignored in silence would be missed at night." [];
    SECRET_OPEN "SG-0116" "Other users can read a secret"
        => "chmod 640 FILE"
        "Each user of this machine could read the file. Give it to the service alone, and change the secret where others may have seen it." [];
    ADDRESS "SG-0117" "An address cannot be read"
        => "write host and port, or http://HOST:PORT/PATH for a page"
        "User and password do not belong in it: they have settings of their own, so that no message can show them." [];
    PATTERN "SG-0118" "An expression cannot be used"
        => "write regular expressions in RE2 syntax, in single quotes"
        "In double quotes YAML takes backslashes for itself." [];
    FORM "SG-0119" "A value is not written as it has to be"
        => "example.yml shows how it is written"
        "Names of headers, labels and domains, request methods, hashes of passwords: each has a form, and what has another could not be sent or read. The hint tells it." [];
    INSECURE "SG-0120" "A setting would not protect what it should"
        => "leave the setting out"
        "It would show a secret to strangers, let everybody in, or speak a version of TLS that is broken. Nobody would notice, so it is refused." [];

    PORT_TAKEN "SG-0201" "Another process listens on the port"
        => "ss -ltnp shows who listens"
        "The message names it where it can be seen; as root `ss -ltnp` always does. Often it is the exporter that this one replaces: stop that, or choose another port by `--web.listen-address`." [];
    LISTEN "SG-0202" "The address cannot be listened on"
        => "write --web.listen-address=127.0.0.1:PORT, or :PORT for all addresses of this machine"
        "It is not written as HOST:PORT, or its name has no address." [];
    EXPOSED "SG-0203" "Other machines would reach an open port"
        => "tls-init makes TLS and a password; --web.insecure lets everybody read"
        "Listen on loopback, make TLS and a password, or say `--web.insecure` where the network keeps strangers out." [];
    NO_SOCKETS "SG-0205" "The service manager has handed over no socket"
        => "systemctl list-sockets"
        "`--web.systemd-socket` needs a unit of type socket with `ListenStream=`, started before the service." [];
    NOT_OURS "SG-0206" "The address is not one of this machine"
        => "ip -brief address"
        "A typing error, an address of another machine, or one that comes up later than the service." [];
    PORT_DENIED "SG-0207" "The port may not be opened"
        => "take a port above 1023, or --web.systemd-socket"
        "Ports below 1024 belong to root, unless the service has CAP_NET_BIND_SERVICE." [];

    RESOLVE "SG-0301" "The host name has no address"
        => "getent hosts NAME"
        "`getent` asks as the exporter does. A typing error, or the resolver of this machine does not know the zone." ["dns_nxdomain"];
    REFUSED "SG-0302" "Nobody listens at the server's address"
        => "nobody listens there: is the server running, and on this address and port?"
        "The server is down, listens on another port or only on loopback (`ss -ltn` there tells), or a firewall says so." ["refused"];
    CONNECT "SG-0303" "The connection failed"
        => "ip route get ADDRESS"
        "The system says no other reason than that of the message." [];
    TLS "SG-0304" "TLS failed"
        => "openssl s_client -connect HOST:PORT"
        "The two ends cannot agree. Name the authority's file rather than turning the check off." ["tls_failed"];
    AUTH "SG-0305" "The server did not let us in"
        => "log in by hand as the same user from this machine"
        "A user that is not there or may not log in. The hint tells more, where the server does." ["auth"];
    PERMISSION "SG-0306" "A right is missing"
        => "grants prints all rights that the collectors need"
        "The hint names the one. What else can be read is shown all the same." ["permission"];
    STARTING "SG-0307" "The server is starting or stopping"
        => "wait, and look at the server's log"
        "It answers, but takes no work yet. If that lasts, its log says what it waits for." ["not_ready"];
    OVERLOADED "SG-0308" "Work stands in each other's way"
        => "scrape less often, or from fewer places"
        "Another scrape holds the connection, or the server turns work away. See who makes the load before raising a limit." ["budget"];
    TIMEOUT "SG-0309" "No answer in time"
        => "ask the server by hand and see how long it takes"
        "The server hangs, is overloaded, waits for a lock, or packets are dropped on the way. The time is that of the scrape, or of the collector's own option `timeout`."
        ["timeout", "tls_timeout", "first_byte_timeout", "body_timeout"];
    QUERY "SG-0310" "The server refused a request"
        => "run the request by hand; the server's log has more"
        "An object or command that is missing there, or a fault in a query of one's own. The message has the server's words." [];
    DECODE "SG-0311" "The answer cannot be read"
        => "see what listens there; bundle collects what support asks for"
        "Something else than the product listens there, or a version that answers otherwise. With a supported version this is a bug." ["protocol", "body_encoding", "too_short"];
    LIMIT "SG-0312" "The answer is larger than is taken"
        => "see what makes it so large"
        "Answers are limited so that no server can fill our memory." ["head_size", "body_size"];
    INTERNAL "SG-0313" "A fault of the exporter"
        => "bundle collects what support asks for"
        "The other collectors go on." ["internal"];
    PRODUCT "SG-0314" "A reason that only this product has"
        => "the exporter's README tells all reasons"
        "`sage_error` names it in the label reason." [];
    NO_PASSWORD "SG-0315" "The server asks for a password and none is given"
        => "write password_file: /path/to/file"
        "A secret goes into a file of its own, a credential of systemd or the environment, never on the command line." [];
    WRONG_PASSWORD "SG-0316" "User or password is wrong"
        => "log in by hand with the same user and password"
        "Servers do not tell which of the two. A file may end in a line break, which does not belong to the password; a second one does." [];
    CLIENT_REFUSED "SG-0317" "A rule of the server keeps us out"
        => "look at the server's rules for the address of this machine"
        "User, database, address and TLS have to be those of a rule: PostgreSQL's pg_hba.conf, protected mode of Redis, allow and deny of a web server." ["host_denied"];
    NO_DATABASE "SG-0318" "The database is not there"
        => "set database to one that exists"
        "A typing error, or a database that was dropped. Any one will do: the collectors find the others." ["no_database"];
    UNREACHABLE "SG-0319" "There is no way to the server"
        => "this machine has no way there: ip route get ADDRESS, and ask who runs the network"
        "No route, a network that is down, or a router or firewall that says no." ["unreachable"];
    LOST "SG-0320" "The connection broke"
        => "the server's log has the reason"
        "The server or something between hung up in the middle: a restart, a limit of its own, or a firewall that forgets idle connections." ["connection_lost"];
    TLS_NAME "SG-0321" "The certificate is for another name"
        => "connect by a name that stands in it: openssl s_client -connect HOST:PORT"
        "The host as it is configured has to stand among the names of the certificate; an address does only where it stands there too." ["tls_name"];
    TLS_UNTRUSTED "SG-0322" "The certificate's authority is not trusted"
        => "name the authority's file, or install it for all"
        "A company's own authority, a certificate that signs itself, or a server that does not send the intermediate certificate." ["tls_untrusted"];
    TLS_EXPIRED "SG-0323" "The certificate has ended"
        => "renew it on the server, and let the server load it"
        "Or an authority between has ended, or the clock of this machine is wrong: `date --utc`." ["tls_expired"];
    TLS_NOT_YET "SG-0324" "The certificate is not valid yet"
        => "compare the clocks of both machines: date --utc"
        "A clock that is behind, or a certificate for later." ["tls_not_yet_valid"];
    TLS_NOT_SPOKEN "SG-0325" "The server speaks no TLS there"
        => "what listens there does not speak TLS on this port: turn it on at the server, or connect to its port for TLS"
        "Another port has it, or it begins only when asked for (STARTTLS), or it is switched off." ["tls_not_spoken", "starttls_refused"];
    TLS_CLIENT "SG-0326" "The server wants a client certificate"
        => "name certificate and key of ours in the target's settings"
        "It wants one and none is given, or it does not take the one that is: ended, or of an authority that it does not trust." ["tls_client_certificate"];
    TLS_LEGACY "SG-0327" "No version or cipher of TLS in common"
        => "let the server speak TLS 1.2 or 1.3"
        "Mostly a server that knows old ones only." ["tls_legacy"];
    TLS_FILE "SG-0328" "A certificate or key file cannot be used"
        => "openssl x509 -in FILE -noout -text"
        "It is not in PEM form, holds something else than its name says, or key and certificate do not belong together." [];
    SERVER_FULL "SG-0329" "All connections of the server are taken"
        => "see who holds them before raising a limit"
        "Mostly an application that opens connections and does not close them." ["too_many_connections"];
    RESOLVER "SG-0330" "The resolver does not answer"
        => "getent hosts NAME, and /etc/resolv.conf"
        "It could not be asked, failed, or took too long." ["dns_failed", "dns_timeout"];
    FAMILY "SG-0331" "The name has no address of the wanted family"
        => "getent ahosts NAME"
        "It has IPv4 where IPv6 is asked for, or the other way round." ["no_address_of_family"];
    READ_ONLY "SG-0332" "The server takes no writes"
        => "see whether it is a replica, or was set to read only"
        "A replica, or a server that somebody or a full disk has set to read only." ["read_only", "readonly"];
    NO_SPACE "SG-0333" "The server cannot write to its disk"
        => "df -h on the server, and its log"
        "The disk is full or has a fault." ["disk_full", "misconf"];
    NO_MEMORY "SG-0334" "The server's memory is full"
        => "look at its limit, and at what fills it"
        "It is at its limit and may evict nothing, so that it refuses writes." ["oom"];
    BUSY "SG-0335" "The server runs one long command"
        => "see what runs there before ending it"
        "A script or function keeps everybody else waiting." ["busy"];
    NO_PRIMARY "SG-0336" "The replica has lost its primary"
        => "look at the link on the replica, and at the primary"
        "It may not serve old data, so that it serves none." ["masterdown"];
    NO_STANDBY "SG-0337" "A write waits for replicas"
        => "look at the replicas and the links to them"
        "Those that have to confirm it do not, or are too few." ["sync_standby", "noreplicas"];
    CLUSTER_DOWN "SG-0338" "The cluster does not serve"
        => "look at the state of the cluster on each node"
        "A part of the data has no primary." ["clusterdown"];
    QUERY_FILE "SG-0339" "A file of one's own queries cannot be used"
        => "check names the file and the line"
        "The other files are used all the same." ["query_file"];
    PAGE_MISSING "SG-0340" "The server has no such page"
        => "ask for the page by hand: curl -v URL"
        "The status page is not switched on, or at another path." [];
    FORBIDDEN "SG-0341" "The address is never asked"
        => "take the target out of the scrape job"
        "Link-local addresses and metadata services of clouds, also behind a name or a redirect." ["forbidden"];
    REDIRECT "SG-0342" "A redirect is not followed"
        => "curl -sIL URL shows where it leads"
        "There are too many, it leads where we do not follow, or the module follows none." ["redirect", "redirect_loop", "redirect_forbidden"];
    STATUS "SG-0343" "The status code is not one that is taken"
        => "curl -v URL shows the answer"
        "The server answered, and says that it fails, or that the page is elsewhere." ["status", "http_status"];
    HTTP_VERSION "SG-0344" "The HTTP version is not one that is taken"
        => "see valid_http_versions of the module"
        "The server, or a proxy before it, speaks another one." ["http_version"];
    CONTENT "SG-0345" "The content is not what it should be"
        => "curl -v URL, and compare with the module's rules"
        "A check of the module says no to headers or body, or a step found nothing to capture." ["regex", "content", "capture", "protocol_mismatch"];
    TLS_UNWANTED "SG-0346" "TLS where none is wanted, or none where it is"
        => "see fail_if_ssl and fail_if_not_ssl of the module"
        "The last answer counts: a redirect may lead from one to the other." ["ssl", "tls_unwanted", "tls_missing"];
    PROXY "SG-0347" "The proxy does not do its part"
        => "curl -v --proxy PROXY URL"
        "Nobody listens there, it cannot reach the target, or it is too slow." ["proxy", "proxy_refused", "proxy_failed", "proxy_tls", "proxy_timeout"];
    PROXY_AUTH "SG-0348" "The proxy wants a user and a password"
        => "write proxy_basic_auth: {username: NAME, password_file: /path/to/file}"
        "None are given, or others are wanted." ["proxy_auth"];
    RCODE "SG-0349" "The DNS server's answer is not one that is taken"
        => "dig @SERVER NAME TYPE"
        "The name is not there, or the server refuses to answer for it." ["rcode", "dns_rcode"];
    GRPC "SG-0350" "The gRPC service is not well"
        => "see the service's log"
        "It answered with another status than OK, or says of itself that it does not serve." ["grpc", "grpc_status", "not_serving"];
    CONNECT_TIMEOUT "SG-0351" "The connection is not made in time"
        => "see the firewalls between here and the server"
        "Mostly a firewall that drops packets, or a machine that is off." ["connect_timeout"];
    TOO_BIG "SG-0352" "The packet is too big for the way"
        => "ping -M do -s SIZE HOST"
        "It may not be cut into fragments, and a network between takes smaller ones only." ["packet_too_big"];
    NOT_ALLOWED "SG-0353" "The module may not be used for this target"
        => "add the target to allowed_targets of the module, if it may see what the module sends"
        "A module with credentials is used for the targets alone that it lists, since a request names the target." ["target_not_allowed"];
    TOKEN "SG-0354" "The token endpoint gives no token"
        => "curl -u CLIENT -d grant_type=client_credentials TOKEN_URL"
        "Client, secret, scope or parameters are not right, or the endpoint cannot be reached." ["token_refused", "token_failed", "token_timeout"];

    FAILED "SG-0400" "A command did not succeed"
        => "run it again with --log.level=debug"
        "The message says why." [];
    OUTPUT "SG-0401" "A file cannot be written"
        => "name a folder that you can write to"
        "The folder is not there, or is not yours." [];
    NOTHING_FOUND "SG-0402" "No server was found on this machine"
        => "write the target yourself: example.yml"
        "`discover` sees listeners of this machine alone; without root those on other ports than the usual ones stay unseen." [];
    EXISTS "SG-0403" "A file is there already, and is kept"
        => "name another folder, or move the file away"
        "Nothing is overwritten that somebody may have changed." [];

    COMMAND_LINE "SG-0500" "The command line cannot be used"
        => "--help shows commands and flags"
        "The message says what is wrong." [];
    UNKNOWN_FLAG "SG-0501" "A flag is not known"
        => "--help shows all flags"
        "Mostly a typing error. The hint has the one that is nearest." [];
    UNKNOWN_COMMAND "SG-0502" "A command is not known"
        => "--help shows all commands"
        "Mostly a typing error, or a value that has lost its flag." [];
    FLAG_VALUE "SG-0503" "The value of a flag cannot be used"
        => "--help shows what the flag takes"
        "A number, a time with a unit, or one of certain words is expected." [];
    FLAG_MISSING "SG-0504" "Something is missing on the command line"
        => "--help shows what the command needs"
        "A value after a flag, or a name that the command needs." [];
    FLAG_CONFLICT "SG-0505" "Two flags do not fit"
        => "leave one of them out"
        "They exclude each other, or one may be given once only." [];

    REQUEST "SG-0600" "The request cannot be answered"
        => "the page / shows what can be asked for"
        "A parameter of the scrape job is missing or wrong." [];
    NO_TARGET "SG-0601" "The target is not in the configuration"
        => "write it below targets: in the file of --config.file"
        "Configured targets alone are asked, so that nobody can send our credentials elsewhere." [];
}
