// The shop's own name: a certificate that renews itself, and records in the hosted zone.
import type { Stack } from "aws-cdk-lib";
import * as acm from "aws-cdk-lib/aws-certificatemanager";
import * as apigateway from "aws-cdk-lib/aws-apigateway";
import * as route53 from "aws-cdk-lib/aws-route53";
import * as targets from "aws-cdk-lib/aws-route53-targets";
import type { Settings } from "./settings.ts";

export interface OwnDomain {
    name: string;
    zone: route53.IHostedZone;
    certificate: acm.Certificate;
}

/** Absent when no domain was asked for. */
export function ownDomain(stack: Stack, settings: Settings): OwnDomain | undefined {
    if (!settings.domain) return undefined;
    const { name, zoneId } = settings.domain;
    // Records are named in full, so the zone's own name is not asked for: no look-up at synth.
    const zone = route53.HostedZone.fromHostedZoneAttributes(stack, "Zone", { hostedZoneId: zoneId, zoneName: name });
    const certificate = new acm.Certificate(stack, "Certificate", {
        domainName: name,
        validation: acm.CertificateValidation.fromDns(zone),
    });
    return { name, zone, certificate };
}

export function pointTo(stack: Stack, { name, zone }: OwnDomain, target: route53.IAliasRecordTarget): void {
    const record = { zone, recordName: `${name}.`, target: route53.RecordTarget.fromAlias(target) };
    new route53.ARecord(stack, "AddressRecord", record);
    new route53.AaaaRecord(stack, "AddressRecord6", record);
}

/** The URL that customers see. */
export function domainForApi(stack: Stack, settings: Settings, api: apigateway.RestApi): string {
    const own = ownDomain(stack, settings);
    if (!own) return api.url;
    const name = new apigateway.DomainName(stack, "DomainName", {
        domainName: own.name,
        certificate: own.certificate,
        endpointType: apigateway.EndpointType.REGIONAL,
        securityPolicy: apigateway.SecurityPolicy.TLS_1_2,
        mapping: api,
    });
    pointTo(stack, own, new targets.ApiGatewayDomain(name));
    return `https://${own.name}/`;
}
