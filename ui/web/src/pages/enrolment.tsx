import { may, organization } from "../lib/session";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { Joins } from "./enrolment/joins";
import { Mint } from "./enrolment/mint";
import { Tokens } from "./enrolment/tokens";
import "./enrolment/enrolment.css";

/** How agents get in: a token that somebody hands out, or a request that somebody decides. */
export default function Enrolment() {
  const org = organization.value;
  return (
    <Page title="Enrolment" state={<LinkState />}>
      <div class="stack">
        {may("operator") && <Mint key={org} />}
        <Joins />
        <Tokens />
      </div>
    </Page>
  );
}
