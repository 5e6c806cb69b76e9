import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { CodeBlock, DiffView } from "../../components/code-block";
import { Dialog } from "../../components/dialog";
import { Page } from "../../components/page";
import { PolicyEditor, ValidationBadge } from "../../components/policy-editor";
import { EmptyState, ErrorState, Loading } from "../../components/states";
import { showToast } from "../../components/toasts";
import { put, remove } from "../../lib/api";
import type { PolicyDocument } from "../../lib/api-types";
import { useGet } from "../../lib/hooks";
import {
  type AclSettings,
  formatPolicy,
  POLICY_TEMPLATE,
  useValidation,
} from "../../lib/policy-document";
import { navigate, type PageProps, query } from "../../lib/router";
import { DryRunForm } from "./policy/dry-run-form";
import { PolicyReplay } from "./policy/replay";
import "./pages.css";

const ROOT = "root";
const PARENT = { href: "/policies", title: "Policies" };

/** One policy: editor, replay and dry run. */
export default function PolicyPage({ params: { name = "" } }: PageProps) {
  const isNew = query.value.has("new");
  const result = useGet<PolicyDocument>(
    isNew || name === ROOT ? null : `policies/${encodeURIComponent(name)}`,
  );
  if (name === ROOT)
    return (
      <Page title={name} parent={PARENT}>
        <EmptyState icon="policy" title="Built-in policy that allows everything">
          It cannot be changed or deleted. See <a href="/users">Users and keys</a> for who has it.
        </EmptyState>
      </Page>
    );
  if (isNew) return <PolicyPageEditor name={name} before="" />;
  if (result.error?.status === 404)
    return (
      <Page title={name} parent={PARENT}>
        <EmptyState icon="policy" title="Policy not found">
          <a href={`/policies/${encodeURIComponent(name)}?new=1`}>Create it</a>
        </EmptyState>
      </Page>
    );
  if (result.error) return <ErrorState error={result.error} onRetry={result.reload} />;
  if (!result.data) return <Loading label={`Loading ${name}`} />;
  if (result.data.source) return <ControlPlanePolicy name={name} document={result.data} />;
  return (
    <PolicyPageEditor
      key={name}
      name={name}
      before={formatPolicy(result.data)}
      settings={result.data.acl ? aclSettings(result.data) : NO_SETTINGS}
    />
  );
}

const NO_SETTINGS: AclSettings = {};

function aclSettings({ description, enabled, priority }: PolicyDocument): AclSettings {
  return { description, enabled, priority };
}

/** A policy of the control plane, which is read-only here. */
function ControlPlanePolicy({ name, document }: { name: string; document: PolicyDocument }) {
  const { source: _, ...rest } = document;
  return (
    <Page title={name} parent={PARENT}>
      <div class="stack">
        <p>The control plane manages this policy. Edit it there.</p>
        <Card title="Document">
          <CodeBlock label={`Document of ${name}`} text={formatPolicy(rest)} />
        </Card>
        <DryRunForm policy={name} />
      </div>
    </Page>
  );
}

interface PolicyPageEditorProps {
  name: string;
  before: string;
  /** What a policy in Vault's language has beside its text. */
  settings?: AclSettings;
}

function PolicyPageEditor({ name, before: first, settings = NO_SETTINGS }: PolicyPageEditorProps) {
  const path = `policies/${encodeURIComponent(name)}`;
  const [before, setBefore] = useState(first);
  const [text, setText] = useState(first || formatPolicy(POLICY_TEMPLATE));
  const [dialog, setDialog] = useState<"save" | "delete" | null>(null);
  const [kept] = useState(settings);
  const validation = useValidation(`${path}/validate`, text, kept);
  const save = async () => {
    await put(path, validation.document);
    setBefore(text);
    showToast(`Policy ${name} saved`);
    if (query.peek().has("new")) navigate(`/${path}`, { replace: true });
  };
  return (
    <Page
      title={name}
      parent={PARENT}
      state={
        <ValidationBadge validation={validation} unchangedLabel={text === before && "Saved"} />
      }
      actions={
        first && (
          <Button kind="danger" onClick={() => setDialog("delete")}>
            Delete…
          </Button>
        )
      }
    >
      <div class="stack">
        <Card title="Document">
          <PolicyEditor
            label={`Document of ${name}`}
            text={text}
            saved={before}
            validation={validation}
            hint="JSON, or HCL as for Vault and OpenBao; validated as you type. Saving applies the policy immediately."
            onChange={setText}
            onSave={() => setDialog("save")}
          />
        </Card>
        <PolicyReplay name={name} document={validation.document} />
        <DryRunForm policy={name} draft={validation.document} />
      </div>
      {dialog === "save" && (
        <Dialog
          title={`Save policy ${name}?`}
          submitLabel="Save"
          onSubmit={save}
          onClose={() => setDialog(null)}
        >
          <DiffView label="Changes" before={before} after={text} />
        </Dialog>
      )}
      {dialog === "delete" && <DeletePolicy name={name} onClose={() => setDialog(null)} />}
    </Page>
  );
}

function DeletePolicy({ name, onClose }: { name: string; onClose: () => void }) {
  const submit = async () => {
    await remove(`policies/${encodeURIComponent(name)}`);
    showToast(`Policy ${name} deleted`);
    navigate("/policies");
  };
  return (
    <Dialog
      title={`Delete policy ${name}?`}
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>Everyone with this policy loses its permissions immediately.</p>
    </Dialog>
  );
}
