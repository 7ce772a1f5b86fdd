/**
 * What each setting does, in words for an operator. It is what `stowage config explain` prints, what editors show from the JSON
 * schema, and the first paragraph of each setting's chapter in docs/configuration.md, which `npm run docs` writes.
 */

/** By the path of the setting; Markdown, in one line. Whatever is longer belongs to the chapter behind that paragraph. */
export const DESCRIPTIONS: Readonly<Record<string, string>> = {
  "http.addr": "The address to listen on: `host:port`, or the path of a Unix socket.",
  "http.net":
    "`tcp` or `unix`, as in distribution, where `unix` makes `http.addr` the path of a socket. Not needed: an address that " +
    "begins with `/` or `unix:` is a socket.",
  "http.draintimeout":
    "How long running requests may go on after a stop signal. By default 25 seconds; a number without a unit means " +
    "nanoseconds, as in distribution.",
  "http.tls.certificate":
    "PEM file with the server's certificate, followed by its intermediate certificates. With certificate and key, " +
    "the address speaks only TLS. Both files are checked every two seconds: a new certificate is used for new " +
    "connections, running requests finish with the old one, idle connections are closed. A pair that does not " +
    "match is not used, and the log says so. A warning is logged when the certificate expires in less than two " +
    "weeks.",
  "http.tls.key": "PEM file with the private key, without a password.",
  "http.tls.letsencrypt.cachefile":
    "The folder for the certificate that the server gets from Let's Encrypt or another ACME CA (RFC 8555), and " +
    "renews.",
  "http.tls.letsencrypt.email":
    "The contact address for the CA. Setting it means that you accept the CA's terms of service.",
  "http.tls.letsencrypt.hosts":
    "The host names for the certificate, at most 100. Each must resolve to this machine. Wildcards and IP " +
    "addresses are not possible with the http-01 challenge.",
  "http.tls.letsencrypt.directoryurl":
    "The ACME directory. Test your set-up with `https://acme-staging-v02.api.letsencrypt.org/directory`, which " +
    "has generous rate limits and issues untrusted certificates. For a private CA, name its root certificate in " +
    "the variable `NODE_EXTRA_CA_CERTS` (a PEM file).",
  "http.tls.letsencrypt.challengeaddr":
    "The address for http-01 challenges. CAs connect to port 80 of each host name, so the default is `:80`; " +
    "change it when something forwards port 80. The listener answers challenges, redirects requests for `hosts` " +
    "to https (308), and answers 404 otherwise. distribution uses tls-alpn-01 on the TLS port instead, which is " +
    "not supported.",
  "http.tls.clientcas":
    "PEM files with CAs for client certificates (mutual TLS). A client without a valid certificate of one of them " +
    "gets no connection. The login (`auth`) comes in addition.",
  "http.tls.clientauth":
    "`require-and-verify-client-cert`, or `request-client-cert`, which requests a certificate and accepts any. " +
    "distribution's `require-any-client-cert` and `verify-client-cert-if-given` stop the start, because the " +
    "runtime does not support them.",
  "http.tls.minimumtls": "The oldest accepted version: `tls1.0`, `tls1.1`, `tls1.2` or `tls1.3`.",
  "http.tls.ciphersuites":
    "Cipher suites for TLS 1.2 and older, by distribution's names, such as " +
    "`TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`. Those of TLS 1.3 cannot be chosen.",
  "http.http2.disabled": "`true` disables HTTP/2. Otherwise clients that offer HTTP/2 over TLS get it.",
  "http.h2c.enabled":
    "`true` also accepts HTTP/2 without TLS (h2c with prior knowledge), as some reverse proxies use it.",
  "http.host":
    "The public URL of the registry, such as `https://registry.example.com`. It is used in the address of the " +
    "token service. Needed behind a reverse proxy that does not pass on the requested host name, and for a " +
    "registry without login on a loopback address that is served under another name " +
    "([security.md](security.md#web-pages-of-other-sites)). It may have a path when that equals `http.prefix`.",
  "http.prefix":
    "The path below which the registry is served, such as `/registry/`: `/v2/` becomes `/registry/v2/`, and the " +
    "token service `/registry/token`. Leading and trailing slashes are optional. Other paths get 404, except `/`, " +
    "`/healthz` and `/readyz`, which exist with and without the prefix, for load balancers. The reverse proxy " +
    "must pass on the path unchanged.",
  "http.relativeurls":
    "Accepted and ignored: addresses in responses are always relative, which all clients understand.",
  "http.trustedproxies":
    'Addresses and networks of reverse proxies, such as `["10.0.0.0/8", "fd00::/8"]`; `unix` means everyone who ' +
    "connects to a Unix socket. Only requests from them may set `X-Forwarded-For`, `X-Forwarded-Proto`, " +
    "`X-Forwarded-Host`, `X-Forwarded-Port` and `Forwarded`, which determine the client's address (in the log and " +
    "in limits) and the registry's public URL. From other clients these headers are ignored. A proxy must set or " +
    "remove each of them: see [proxies.md](proxies.md).",
  "http.headers": "Headers added to every response, each with a value or a list of values.",
  "http.draindelay":
    "At a stop, `/readyz` answers 503 for so long before the port is closed, so that load balancers send no more requests.",
  "http.debug.addr":
    "A second address for monitoring, written like `http.addr`: `/debug/health`, and metrics when enabled. Off by " +
    "default. Keep it away from clients.",
  "http.debug.prometheus.enabled":
    "`true` serves Prometheus metrics on the debug address. [operations.md](operations.md#metrics) lists them.",
  "http.debug.prometheus.path": "The path of the metrics on the debug address.",
  workers:
    "Number of processes that serve clients on the port, from 1 to 64. By default one up to two cores, then as many as " +
    "cores, at most 16. `1` serves in the process that was started, which is best on one or two cores. With more, the " +
    "parent process starts and supervises the workers and does the background work; the kernel distributes " +
    "connections. This needs Linux and a TCP port: otherwise one process serves, and a warning says so. See " +
    "[operations.md](operations.md#workers).",
  "http.debug.prometheus.repositories":
    "How many repositories have metrics of their own (`stowage_repository_requests_total`, `stowage_repository_bytes_total`), at most 10000.",
  "auth.htpasswd.realm": "The realm in the `WWW-Authenticate` header: one line of text.",
  "auth.htpasswd.path":
    "An htpasswd file, `NAME:HASH` on each line. Hashes are bcrypt (`htpasswd -B`) or argon2id. Lines with other " +
    "hashes are ignored with a warning; so are hashes that cost more than bcrypt cost 14, or argon2id with 128 " +
    "MiB or 1 GiB over all passes, because every login attempt makes the server compute one. The file is reloaded " +
    "when it changes; users whose line changed are logged out at once. A missing file is created with one user " +
    "`docker` and a random password, which is logged once. Users of the file have no groups.",
  "auth.users.enabled":
    "`true` accepts users and robots of the database, who are managed with `stowage user` and `stowage token` " +
    "while the server runs. Changes apply to the next request.",
  "auth.oidc":
    "CI systems whose jobs may log in with an OpenID Connect token instead of a secret: a list of `issuer`, " +
    "`audience` and `rules`.",
  "auth.token.refresh":
    "`true` issues a refresh token of this registry to clients that ask for one (`offline_token=true`). It is " +
    "valid for a year, or until the account changes. docker then stores it instead of the password, and other " +
    "clients that read the same `config.json`, such as podman, cannot use it: so the default is `false`. This is " +
    "the only setting below `auth.token` for the registry's own tokens.",
  "auth.token.realm":
    "An external token server (distribution's `auth: token`), given by the URL where clients get tokens. It " +
    "excludes the other login methods and `policies`. `service`, `issuer` and either `rootcertbundle` or `jwks` " +
    "are required.",
  "auth.token.service": "The name of this registry at the token server: the `aud` of its tokens.",
  "auth.token.issuer": "The `iss` of the tokens.",
  "auth.token.rootcertbundle":
    "A PEM file with certificates. A token is accepted when it is signed by the key of one of them, or by a " +
    "certificate in its `x5c` header that one of them signed. Reloaded on change.",
  "auth.token.jwks": "A file with the token server's keys (JWKS, RFC 7517). Reloaded on change.",
  "auth.token.signingalgorithms":
    "Accepted signature algorithms: `EdDSA`, `ES256` to `ES512`, `RS256` to `RS512`, `PS256` to `PS512`.",
  "auth.token.autoredirect":
    "`true` sends clients to this registry's own host name for tokens, where a reverse proxy forwards " +
    "`autoredirectpath` to the token server.",
  "auth.token.autoredirectpath": "The path on this registry's host name where a reverse proxy forwards token requests.",
  policies:
    "Rules that allow actions. What no rule allows is refused. Without `policies`, every user who logs in may do " +
    "everything.",
  protectedtags: "Immutable tags: once they exist, they cannot be moved or deleted over HTTP, by anyone.",
  "limits.reads.perminute":
    "Read rate limit: how many manifests, blobs and lists a user may get per minute. More get 429 " +
    "`TOOMANYREQUESTS` with `Retry-After`. Pushes are not limited, nor is `HEAD` below `/v2/`. Each process counts separately: " +
    "with four `workers`, up to four times as many pass.",
  "limits.reads.anonymousperminute":
    "Read rate limit of anonymous clients, per address (IPv6: per /64 network). Behind a reverse proxy, set " +
    "`http.trustedproxies`; otherwise all clients share the proxy's address.",
  "limits.uploads":
    "How many unfinished uploads a user, a robot or an anonymous address (IPv6: /64 network) may have, over all " +
    "processes. More get 429 `TOOMANYREQUESTS` until some are finished, cancelled or expired " +
    "(`storage.maintenance.uploadpurging.age`). `0`: no limit.",
  "limits.descriptors":
    "How many layers, blobs or manifests a manifest may list. More get 400 `MANIFEST_INVALID`. Every entry is " +
    "looked up and recorded while other pushes wait, so a larger limit makes their longest wait longer. 4 MiB, " +
    "the size limit of a manifest, hold about 27,000.",
  quotas:
    "Limits below a name prefix: `prefix`, with at least one of `bytes`, `tags` and `repositories`. The prefix " +
    '`team` covers the repository `team` and all of `team/…`; `"*"` covers everything. Where several quotas ' +
    "match, all apply.",
  "database.url":
    "The PostgreSQL database for the metadata, version 14 or newer: `postgres://user:password@host:5432/database`. What the " +
    "URL leaves out comes from libpq's variables (`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`, " +
    "`PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`, `PGAPPNAME`) or their defaults. Without it, the metadata is in the data " +
    "folder, in SQLite. See [scale-out.md](scale-out.md).",
  "database.passwordfile":
    "A file with the password, which wins over that of the URL. It is read for each connection, so a password may be " +
    "changed while the server runs.",
  "database.connections":
    "How many connections each process of the server opens at most ([scale-out.md](scale-out.md#connections)). Requests " +
    "that find none free for 10 seconds get 503.",
  "database.timeout":
    "How long PostgreSQL may take to answer a statement before the connection is closed and the work is tried again.",
  "database.preparedstatements":
    "`false` prepares no statements, for a connection pool that lends connections for one transaction, such as pgbouncer " +
    "in transaction mode.",
  "storage.filesystem.rootdirectory":
    "The data folder ([storage.md](storage.md)). It is created with mode 0700 when it does not exist. The mode of " +
    "an existing folder is kept; when it is group-writable, its content is too. A relative path starts at the " +
    "working directory: use an absolute one for services. `~` is an error, because only shells expand it. The " +
    "path may have at most 492 bytes.",
  "storage.filesystem.singleprocess":
    "`true` promises that only one process opens the data folder. Required on NFS, CIFS, SMB and 9p, where SQLite " +
    "cannot share a database between processes. The server then locks the folder: a second server, and `gc`, " +
    "`check`, `backup` and `cat` while the server runs, are refused. `workers` must be 1.",
  "storage.filesystem.directwrites":
    "`true` writes large uploads past the page cache (`O_DIRECT`), on Linux where the file system supports it; " +
    "elsewhere it has no effect. That takes less CPU in the kernel, most of all on virtual machines where copying " +
    "into the page cache is slow. Its price: the first pull after a push reads from the disk, and some disks take " +
    "such writes more slowly. Pushes are as durable either way.",
  "storage.s3.bucket":
    "The bucket for the bytes of blobs ([s3.md](s3.md)). Manifests, tags and blobs up to `storage.inline` stay in the database in " +
    "the data folder.",
  "storage.s3.region": "The region of the bucket. Services without regions accept any word.",
  "storage.s3.regionendpoint":
    "The address of an S3-compatible service: `https://host:port`, or `host:port` with `storage.s3.secure`. By default Amazon's " +
    "address for the region.",
  "storage.s3.rootdirectory": "The path in the bucket below which all objects are.",
  "storage.s3.forcepathstyle":
    "Whether the bucket is in the path (`host/bucket`) instead of the host name (`bucket.host`). By default with " +
    "`storage.s3.regionendpoint`, and for buckets with a dot in their name.",
  "storage.s3.accesskey":
    "The access key. Without keys, they are found as the AWS tools find them: environment, profile, web identity (IRSA), " +
    "container, instance; and renewed before they expire.",
  "storage.s3.secretkey": "The secret key that belongs to `storage.s3.accesskey`.",
  "storage.s3.sessiontoken": "The session token of temporary keys.",
  "storage.s3.secure": "Whether addresses without a scheme are `https`.",
  "storage.s3.skipverify": "`true` accepts any certificate of the service. Only for tests.",
  "storage.s3.encrypt": "Whether objects are encrypted by the service: with its own key, or `storage.s3.keyid`.",
  "storage.s3.keyid": "The KMS key to encrypt with.",
  "storage.s3.storageclass":
    "The storage class of objects. `NONE` and `STANDARD` name none, which services without classes need.",
  "storage.s3.objectacl": "The canned ACL of objects. By default none is sent, as buckets without ACLs require.",
  "storage.s3.chunksize":
    "The size of a part of a large upload, from `5MiB` to `128MiB`. A blob may have 10,000 parts; for larger blobs whose size the " +
    "client announces, parts grow. All uploads together keep up to 256 MiB of parts in memory, and wait for memory beyond that.",
  "storage.s3.redirectendpoint":
    "The address of the bucket for clients that are redirected, when it differs from the one that the server uses.",
  "storage.s3.accelerate": "Whether Amazon's transfer acceleration is used.",
  "storage.s3.usedualstack": "Whether Amazon's addresses for IPv4 and IPv6 are used.",
  "storage.s3.usefipsendpoint": "Whether Amazon's FIPS addresses are used.",
  "storage.s3.useragent": "The `User-Agent` of requests to S3.",
  "storage.redirect.disable":
    "With S3, a GET of a blob is answered by 307 with a presigned address of the bucket, valid for at most 20 minutes. `true` relays " +
    "the bytes through the server instead: needed where clients cannot reach the bucket. HEAD is never redirected. Without S3 it has no effect.",
  "storage.inline":
    "Blobs up to this size are stored in the database instead of in files, which makes pushes of small images " +
    "faster. At most `1MiB`; `0` stores every blob as a file. A change applies to blobs pushed from then on.",
  "storage.delete.enabled":
    "Whether clients may delete blobs, manifests and tags. With `false` they get 405 `UNSUPPORTED`. Cancelling an " +
    "upload is always allowed. In distribution, deleting is off by default: with a settings file of distribution " +
    "(one with `version`) that does not set it, deleting is off here too, with a warning.",
  "storage.maintenance.readonly.enabled":
    "`true` makes the registry read-only: clients pull, and whatever would change something gets 405 `UNSUPPORTED`. " +
    "Garbage collection goes on unless `gc.enabled` is `false`, and the commands of the operator work.",
  "storage.maintenance.uploadpurging.enabled": "Whether unfinished uploads expire. `false` keeps them forever.",
  "storage.maintenance.uploadpurging.age": "How long after its last byte an upload expires, such as `24h`.",
  "storage.maintenance.uploadpurging.interval":
    "Accepted and ignored: expired uploads are looked for every `gc.interval`.",
  "storage.maintenance.uploadpurging.dryrun": "`true` expires no upload, like `enabled: false`.",
  "gc.enabled":
    "Whether the server deletes unreferenced blobs, and with `gc.untagged` untagged manifests, in the background. " +
    "`false` leaves that to `bin/stowage gc`. Expired uploads and trash are deleted in any case.",
  "gc.interval":
    "The time between two rounds, from `1s` to `24d`. A round works in small steps, at most 2 % of the time.",
  "gc.lease":
    "How long a blob stays after a client was told that it exists. A client checks first and pushes the manifest " +
    "later, so this must be longer than the longest push of an image. After a start, background collection waits " +
    "for this time.",
  "gc.grace":
    "How long a blob stays after it lost its last reference. It also stays for `gc.lease` from then, because " +
    "clients may have been told that it exists.",
  "gc.undo":
    "How long a manifest stays after its tag was moved or deleted, so that the tag can be restored; and how long " +
    "a signature stays after its image was deleted. For manifests it needs `gc.untagged`.",
  "gc.fresh": "How long a manifest stays after its push, tagged or not. It needs `gc.untagged`.",
  "gc.untagged":
    "Whether untagged manifests are deleted, after `gc.undo` and `gc.fresh`. Children of a tagged index, and " +
    "signatures of a tagged image, do not count as untagged. By default every image stays until a client deletes " +
    "it, as in distribution; only referrers of a deleted image are deleted after it.",
  "gc.history.age":
    "How long the history of a tag, the images that it pointed at before, is kept. What ended less than `gc.undo` ago " +
    "stays in any case. A running server prunes the histories of all tags once a day, in small steps.",
  "gc.history.entries":
    "How many entries of its history are kept of each tag, the newest ones. What ended less than `gc.undo` ago stays beyond that.",
  "scrub.bytespersecond":
    "How fast the server reads and hashes all blobs in the background. `0` disables the scrub. Corrupt blobs are " +
    "logged and count as missing, so that the next push replaces them. Files that have not been in the database " +
    "for a day are deleted.",
  "scrub.pause": "The time before the first scrub and between two, from `1s` to `24d`.",
  "compatibility.schema1.enabled":
    "Whether signed manifests of Docker schema 1 are accepted (docker before 1.10, `skopeo copy --format v2s1`). " +
    "Signatures are verified, and the manifests are served byte for byte. containerd 2 and newer clients cannot " +
    "pull them. Manifests that were accepted are still served when the setting is switched off.",
  "signatures.enabled":
    "Whether the signature extension API is served: OpenPGP signatures of podman, skopeo and buildah " +
    "(`--sign-by`). With `true`, these clients use it instead of their `lookaside`. Signatures stored as images " +
    "(cosign, notation) need no setting.",
  "validation.manifests.sparse":
    "`true` accepts manifests whose blobs or child manifests are missing; otherwise they are refused with " +
    "`MANIFEST_BLOB_UNKNOWN`. Foreign layers (non-distributable, or with `urls`) and the `subject` may always be " +
    "missing.",
  "validation.manifests.strict":
    "Some tools write manifests that deviate slightly from the OCI image spec. They are stored byte for byte, and " +
    "the response has a `Warning` for each deviation. `true` refuses them with `MANIFEST_INVALID`.",
  "validation.manifests.urls.allow":
    "Regular expressions for `urls` of foreign layers. With `allow`, each URL must match one of them; with " +
    "`deny`, none may. Otherwise the manifest is refused with `MANIFEST_INVALID`, as in distribution.",
  "validation.manifests.urls.deny": "URLs that are refused, even when `allow` matches.",
  "validation.manifests.indexes.platforms":
    "Which manifests of an index must be in the repository before it: `all`, `none`, or those of the platforms in " +
    "`platformlist` (`list`).",
  "validation.manifests.indexes.platformlist":
    "The platforms whose manifests must be there when `platforms` is `list`: each with `architecture` and `os`.",
  "validation.disabled":
    "`true` disables `validation.manifests.urls`, `validation.manifests.indexes` and `validation.manifests.strict`.",
  "notifications.events.includereferences":
    "Whether events of manifests list the descriptors that the manifest references: configuration and layers, or " +
    "the manifests of an index.",
  "notifications.endpoints":
    "Where events are sent by POST: `name` and `url` are required. The keys of distribution are `disabled`, " +
    "`headers`, `timeout`, `threshold`, `backoff`, `ignoredmediatypes` and `ignore` (`mediatypes`, `actions`); " +
    "those of Stowage alone are `attempts`, `pushes`, `heads`, `envelope` and `secret`.",
  "events.keep":
    "How long events are kept for readers ([notifications.md](notifications.md#read-events)), whether or not there " +
    "are endpoints. `0`: only until every endpoint has them.",
  "events.rows":
    "How many events may wait in the database. Beyond that the oldest are dropped, delivered or not; the log and " +
    "the metric say how many an endpoint has lost.",
  "events.bytes": "How many bytes of events may wait. Beyond that the oldest are dropped, as with `events.rows`.",
  "events.deadletters":
    "How many dead letters are kept for each endpoint: events that it did not take. Beyond that the oldest are " +
    "removed.",
  "audit.enabled":
    "Whether changes are kept in a table of the database, besides the log: `stowage audit` lists it. A record is " +
    "written in the same transaction as its change, so none is missing.",
  "audit.age": "How long records of the audit table are kept.",
  "audit.rows": "How many records the audit table may have. Beyond that the oldest are removed.",
  "log.level": "`debug`, `info`, `warn` or `error`. The access log and the audit are written at `info`.",
  "log.fields":
    "Fields that every line of the log has, such as `{environment: production}`: names with texts, numbers or booleans.",
  "log.accesslog.disabled":
    "`true` logs no requests. Changes by clients are still in the audit, which is part of the log.",
  loglevel: "The old name of `log.level`, which wins when both are set.",
  "log.formatter":
    "`text` for people, `json`, or `logstash` (JSON with the names of Logstash: `@timestamp`, `@version`, " +
    "`message`). Default: text at a terminal, JSON elsewhere.",
  "health.file":
    "Files that take the server out of service: while one exists, `/readyz` and `/debug/health` answer 503. Each entry has " +
    "`file`, and optionally `interval` (10s) and `threshold` (1).",
  "health.http":
    "Addresses that must answer HEAD with `statuscode` (200) for the server to be ready. Each entry has `uri`, and optionally " +
    "`headers`, `statuscode`, `timeout` (5s), `interval` (10s) and `threshold` (1): so many failures in a row count.",
  "health.tcp":
    "Addresses that must accept a connection for the server to be ready. Each entry has `addr`, and optionally `timeout` " +
    "(5s), `interval` (10s) and `threshold` (1).",
  "catalog.maxentries":
    "How many repositories one page of `/v2/_catalog` has at the most, up to 10,000. A client that asks for more gets this many, " +
    "and a `Link` to the next page.",
  "tags.maxtags":
    "How many tags one page has at the most when a client asks for pages (`n`), up to 10,000. A client that asks for no pages " +
    "gets all tags, as in distribution.",
  "policy.repository.classes":
    "Which kinds of images are accepted: `image`, `plugin`. Other manifests get 403 `DENIED`, such as those of Helm charts and " +
    "signatures, which have a config of their own. Without it every manifest is accepted.",
};
