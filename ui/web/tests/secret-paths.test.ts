import assert from "node:assert/strict";
import { test } from "node:test";
import {
  countFolders,
  folderHref,
  parentFolders,
  secretHref,
  secretPath,
} from "../src/agent/secret-paths";

test("a path keeps slashes and escapes everything else", () => {
  assert.equal(secretPath("secrets", "secret/a b/c?d#e%"), "secrets/secret/a%20b/c%3Fd%23e%25");
  assert.equal(secretHref("secret/a&b"), "/secrets/one?name=secret%2Fa%26b");
  assert.equal(folderHref(""), "/secrets");
  assert.equal(folderHref("a/b/"), "/secrets?prefix=a%2Fb%2F");
});

test("all parent folders are listed", () => {
  assert.deepEqual(parentFolders("a/b/c"), ["a/", "a/b/"]);
  assert.deepEqual(parentFolders("a/b/"), ["a/", "a/b/"]);
  assert.deepEqual(parentFolders("a"), []);
});

test("subfolders are counted with their secrets", () => {
  const names = ["s/a/1", "s/a/b/2", "s/c/3", "s/4"];
  assert.deepEqual(
    [...countFolders("s/", names)],
    [
      ["s/a/", 2],
      ["s/c/", 1],
    ],
  );
  assert.deepEqual([...countFolders("", names)], [["s/", 4]]);
  assert.deepEqual([...countFolders("s/c/", ["s/c/3"])], []);
});
