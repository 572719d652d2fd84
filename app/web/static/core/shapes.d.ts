// Names for what the API takes and gives, from the types that are generated from docs/openapi.json.

import type { components } from "../../types/api";

type Schemas = components["schemas"];

export type About = Schemas["AboutView"];
export type Me = Schemas["MeView"];
export type Job = Schemas["JobView"];
export type JobPage = Schemas["JobPage"];
/** `input` is a JSON Schema. */
export type Model = Omit<Schemas["ModelView"], "input"> & {
  input: { properties: Record<string, any>; required?: string[]; oneOf?: { required?: string[] }[] };
};
export type SessionReply = Schemas["SessionView"];
export type Invited = Schemas["InvitedView"];
export type Share = Schemas["ShareView"];
export type SharedPage = Schemas["SharedPage"];
export type SharedClip = Schemas["SharedClipView"];
export type Quote = Schemas["QuoteView"];
export type UserLimits = Schemas["UserLimitsView"];
export type UsageReport = Schemas["UsageReport"];
export type UsageRow = Schemas["UsageRow"];
export type Team = Schemas["TeamView"];
export type Key = Schemas["KeyView"];
export type Invitation = Schemas["InvitationView"];
export type Overview = Schemas["OverviewView"];
export type Entry = Schemas["EntryView"];
export type Act = Schemas["ActView"];
export type Endpoint = Schemas["EndpointView"];
export type NewEndpoint = Schemas["NewEndpointView"];
export type Delivery = Schemas["DeliveryView"];
export type UploadedFile = Schemas["UploadedFileView"];
export type Token = Schemas["TokenView"];
export type StorageReport = Schemas["StorageReport"];
export type StorageUse = Schemas["StorageUseView"];
export type LimitState = Schemas["LimitStateView"];

/** What a GET of this path is answered with; `any` for paths that are not named here. */
export type Got<P extends string> = P extends "about"
  ? About
  : P extends "session"
    ? SessionReply
  : P extends "me"
    ? Me
    : P extends "models"
      ? { data: Model[] }
      : P extends `jobs?${string}`
        ? JobPage
        : P extends `shares/current?${string}`
          ? SharedPage
        : P extends `jobs/${string}/shares`
          ? { data: Share[] }
        : P extends `jobs/${string}/${string}`
          ? any
          : P extends `jobs/${string}`
            ? Job
            : any;

/** The same for a POST. */
export type Posted<P extends string> = P extends "jobs" | `jobs/${string}/cancel` ? Job : P extends "quotes"
    ? Quote
    : P extends "session"
      ? SessionReply
      : P extends `jobs/${string}/shares`
        ? Share
      : P extends "invitations/read"
        ? Invited
      : P extends "sign-in/oidc"
        ? Schemas["SignInAddressView"]
      : P extends "sign-in/oidc/return"
        ? Schemas["ReturnedView"]
      : P extends "sign-in/proxy"
        ? SessionReply
        : any;
