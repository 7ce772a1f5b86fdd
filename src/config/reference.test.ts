/**
 * Every setting of distribution 3.1 (and those of 2.8 that are gone), and what becomes of it here: it is honoured, or it is not
 * needed and a warning says why, or it stops the start, because it protects or changes something.
 */
import { describe, expect, test } from "bun:test";
import { EXAMPLES, SettingsError, loadSettings } from "./sources.ts";
import type { LoadedSettings } from "./sources.ts";

type Treatment = "honoured" | "not needed" | "stops";

const REFERENCE: Readonly<Record<Treatment, readonly string[]>> = {
  honoured: [
    "storage.s3.accelerate",
    "storage.s3.accesskey",
    "storage.s3.bucket",
    "storage.s3.chunksize",
    "storage.s3.encrypt",
    "storage.s3.forcepathstyle",
    "storage.s3.keyid",
    "storage.s3.objectacl",
    "storage.s3.redirectendpoint",
    "storage.s3.region",
    "storage.s3.regionendpoint",
    "storage.s3.rootdirectory",
    "storage.s3.secretkey",
    "storage.s3.secure",
    "storage.s3.skipverify",
    "storage.s3.storageclass",
    "storage.s3.usedualstack",
    "storage.s3.usefipsendpoint",
    "storage.s3.useragent",
    "storage.redirect.disable",
    "notifications.events.includereferences",
    "notifications.endpoints",
    "log.level",
    "log.formatter",
    "log.fields",
    "log.accesslog.disabled",
    "loglevel",
    "storage.filesystem.rootdirectory",
    "storage.delete.enabled",
    "storage.maintenance.readonly.enabled",
    "storage.maintenance.uploadpurging.enabled",
    "storage.maintenance.uploadpurging.age",
    "storage.maintenance.uploadpurging.interval",
    "storage.maintenance.uploadpurging.dryrun",
    "auth.htpasswd.realm",
    "auth.htpasswd.path",
    "auth.token.realm",
    "auth.token.service",
    "auth.token.issuer",
    "auth.token.rootcertbundle",
    "auth.token.jwks",
    "auth.token.signingalgorithms",
    "auth.token.autoredirect",
    "auth.token.autoredirectpath",
    "http.addr",
    "http.net",
    "http.prefix",
    "http.host",
    "http.relativeurls",
    "http.draintimeout",
    "http.headers",
    "http.tls.certificate",
    "http.tls.key",
    "http.tls.clientcas",
    "http.tls.clientauth",
    "http.tls.minimumtls",
    "http.tls.ciphersuites",
    "http.tls.letsencrypt.cachefile",
    "http.tls.letsencrypt.email",
    "http.tls.letsencrypt.hosts",
    "http.tls.letsencrypt.directoryurl",
    "http.debug.addr",
    "http.debug.prometheus.enabled",
    "http.debug.prometheus.path",
    "http.http2.disabled",
    "http.h2c.enabled",
    "health.file",
    "health.http",
    "health.tcp",
    "validation.disabled",
    "validation.manifests.urls.allow",
    "validation.manifests.urls.deny",
    "validation.manifests.indexes.platforms",
    "validation.manifests.indexes.platformlist",
    "compatibility.schema1.enabled",
    "catalog.maxentries",
    "tags.maxtags",
    "policy.repository.classes",
  ],
  "not needed": [
    "storage.s3.loglevel",
    "storage.s3.multipartcopychunksize",
    "storage.s3.multipartcopymaxconcurrency",
    "storage.s3.multipartcopythresholdsize",
    "storage.s3.v4auth",
    "log.hooks",
    "log.reportcaller",
    "storage.filesystem.maxthreads",
    "storage.cache.blobdescriptor",
    "storage.cache.blobdescriptorsize",
    "storage.tag.concurrencylimit",
    "middleware.storage",
    "http.secret",
    "redis.addrs",
    "redis.addr",
    "redis.username",
    "redis.password",
    "redis.db",
    "redis.dialtimeout",
    "redis.tls.certificate",
    "redis.pool.maxidle",
    "redis.poolsize",
    "health.storagedriver.enabled",
    "health.storagedriver.interval",
    "health.storagedriver.threshold",
    "validation.enabled",
    "compatibility.schema1.signingkeyfile",
    "compatibility.schema1.trustkey",
    "reporting.bugsnag.apikey",
    "reporting.newrelic.licensekey",
  ],
  stops: [
    "auth.silly.realm",
    "auth.silly.service",
    "middleware.registry",
    "middleware.repository",
    "proxy.remoteurl",
    "storage.inmemory",
    "storage.gcs.bucket",
    "storage.gcs.keyfile",
    "storage.gcs.rootdirectory",
    "storage.azure.accountname",
    "storage.azure.accountkey",
    "storage.azure.container",
    "storage.azure.credentials.type",
    "storage.swift.authurl",
    "storage.oss.bucket",
  ],
};

/** What else has to be there, such as all of one section. */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  "auth.htpasswd.realm": ["auth.htpasswd.path"],
  "storage.s3.": ["storage.s3.bucket", "storage.s3.region"],
  "storage.s3.accesskey": ["storage.s3.secretkey"],
  "storage.s3.secretkey": ["storage.s3.accesskey"],
  "storage.s3.keyid": ["storage.s3.encrypt"],
  "auth.token.": ["auth.token.realm", "auth.token.service", "auth.token.issuer", "auth.token.jwks"],
  "http.tls.letsencrypt.": [
    "http.tls.letsencrypt.cachefile",
    "http.tls.letsencrypt.email",
    "http.tls.letsencrypt.hosts",
  ],
};

function load(path: string): LoadedSettings {
  const beside = Object.entries(BESIDE).flatMap(([start, paths]) => (path.startsWith(start) ? paths : []));
  const lines = [...new Set([...beside, path])].map((each) => `${each}: ${EXAMPLES[each] ?? "x"}`);
  const text = [
    "version: 0.1",
    "storage.delete.enabled: false",
    ...lines.filter((line) => !line.startsWith("storage.delete")),
  ];
  return loadSettings({ file: { path: "config.yml", text: text.join("\n") }, environment: {}, flags: {} });
}

describe("a setting of distribution", () => {
  for (const path of REFERENCE.honoured) {
    test(`is honoured, without a word: ${path}`, () => {
      const { given, warnings } = load(path);
      expect(given.has(path)).toBeTrue();
      expect(warnings).toEqual([]);
    });
  }

  for (const path of REFERENCE["not needed"]) {
    test(`is not needed, which is said once: ${path}`, () => {
      expect(load(path).warnings).toEqual([
        expect.stringMatching(
          new RegExp(
            `^config\\.yml: line \\d+: ${RegExp.escape(path.split(".")[0] ?? "")}.* is not needed by Stowage: \\S+`,
          ),
        ),
      ]);
    });
  }

  for (const path of REFERENCE.stops) {
    test(`stops the start: ${path}`, () => {
      expect(() => load(path)).toThrow(SettingsError);
      expect(() => load(path)).toThrow(/is not supported yet: without it/);
    });
  }
});
