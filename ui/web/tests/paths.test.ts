import assert from "node:assert/strict";
import { test } from "node:test";
import { api, below, folderOf, foldersOf, pageOf } from "../src/agent/paths";

test("a name keeps its slashes and hides everything else that an address could read", () => {
  assert.equal(api("secrets", "secret/a b/c?d#e%"), "secrets/secret/a%20b/c%3Fd%23e%25");
  assert.equal(pageOf("secret/a&b"), "/secrets/one?name=secret%2Fa%26b");
  assert.equal(folderOf(""), "/secrets");
  assert.equal(folderOf("a/b/"), "/secrets?prefix=a%2Fb%2F");
});

test("the folders of a name lead down to it", () => {
  assert.deepEqual(foldersOf("a/b/c"), ["a/", "a/b/"]);
  assert.deepEqual(foldersOf("a/b/"), ["a/", "a/b/"]);
  assert.deepEqual(foldersOf("a"), []);
});

test("what lies below a folder is counted, its own secrets are not", () => {
  const names = ["s/a/1", "s/a/b/2", "s/c/3", "s/4"];
  assert.deepEqual(
    [...below("s/", names)],
    [
      ["s/a/", 2],
      ["s/c/", 1],
    ],
  );
  assert.deepEqual([...below("", names)], [["s/", 4]]);
  assert.deepEqual([...below("s/c/", ["s/c/3"])], []);
});
