{{/* What follows from the values: "true" or nothing, and numbers. Nothing is rendered here. */}}

{{- define "icap.mode" -}}{{ if kindIs "bool" .Values.mode }}off{{ else }}{{ .Values.mode }}{{ end }}{{- end -}}
{{- define "icap.online" -}}{{ if eq (include "icap.mode" .) "online" }}true{{ end }}{{- end -}}
{{- define "icap.standIn" -}}{{ if and .Values.mockActivation.enabled .Values.mockActivation.standInApp }}true{{ end }}{{- end -}}

{{/* Vendor versions such as v1.29.3-eks-… match only with -0. */}}
{{- define "icap.hasNativeSidecars" -}}{{ if semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version }}true{{ end }}{{- end -}}
{{- define "icap.native" -}}
{{- if or (eq .Values.sidecar.mode "native") (and (eq .Values.sidecar.mode "auto") (include "icap.hasNativeSidecars" .)) }}true{{ end -}}
{{- end -}}

{{- define "icap.hasDatabase" -}}{{ if or .Values.database.host .Values.database.embedded.enabled }}true{{ end }}{{- end -}}
{{- define "icap.databaseHost" -}}{{ if .Values.database.embedded.enabled }}{{ include "icap.postgres" . }}{{ else }}{{ .Values.database.host }}{{ end }}{{- end -}}
{{- define "icap.databasePort" -}}{{ if .Values.database.embedded.enabled }}5432{{ else }}{{ int .Values.database.port }}{{ end }}{{- end -}}

{{- define "icap.activationUrl" -}}
{{- if .Values.mockActivation.enabled }}http://{{ include "icap.mock" . }}.{{ .Release.Namespace }}.svc:8480{{ else }}{{ .Values.activation.url }}{{ end -}}
{{- end -}}

{{- define "icap.hasActivationCa" -}}{{ with .Values.activation.ca }}{{ if or .pem .existingConfigMap .existingSecret }}true{{ end }}{{ end }}{{- end -}}

{{/* preStop and the app's stop: in container mode the sidecar waits for them, in native mode the kubelet does. */}}
{{- define "icap.appEnd" -}}{{ add (int .Values.app.preStopSeconds) (int .Values.app.stopSeconds) }}{{- end -}}
{{- define "icap.gracePeriodNeeded" -}}{{ add (int (include "icap.appEnd" .)) (int .Values.sidecar.shutdownBudgetSeconds) 5 }}{{- end -}}
{{- define "icap.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}{{ include "icap.gracePeriodNeeded" . }}{{ else }}{{ int .Values.terminationGracePeriodSeconds }}{{ end -}}
{{- end -}}

{{/* The most pods at a time without surge; nothing where somebody else scales. */}}
{{- define "icap.mostPods" -}}
{{- if .Values.autoscaling.enabled }}{{ int .Values.autoscaling.maxReplicas }}{{ else if not (kindIs "invalid" .Values.replicas) }}{{ int .Values.replicas }}{{ end -}}
{{- end -}}

{{- define "icap.maxSurge" -}}
{{- if eq (.Values.strategy.type | default "RollingUpdate") "Recreate" -}}0
{{- else -}}
{{- $surge := "25%" -}}
{{- with .Values.strategy.rollingUpdate }}{{- if hasKey . "maxSurge" }}{{- $surge = .maxSurge -}}{{- end }}{{- end -}}
{{- $surge = toString $surge -}}
{{- if hasSuffix "%" $surge -}}
{{- $pods := int (include "icap.mostPods" .) -}}
{{- div (add (mul $pods (trimSuffix "%" $surge | int)) 99) 100 -}}
{{- else -}}
{{- int $surge -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "icap.severalPods" -}}
{{- $most := include "icap.mostPods" . -}}
{{- if or (eq $most "") (gt (int $most) 1) }}true{{ end -}}
{{- end -}}

{{/* How long drain may work: half a minute less than its Job, which must have begun and told what is left before it is stopped. */}}
{{- define "icap.drainSeconds" -}}
{{- $all := int .Values.hooks.drain.timeoutSeconds -}}
{{- max (sub $all 30) (div $all 2) -}}
{{- end -}}

{{- define "icap.canGoToZero" -}}
{{- if .Values.autoscaling.enabled }}{{ if eq (int .Values.autoscaling.minReplicas) 0 }}true{{ end }}
{{- else if kindIs "invalid" .Values.replicas }}true
{{- else if eq (int .Values.replicas) 0 }}true{{ end -}}
{{- end -}}

{{- define "icap.reclaimCronJob" -}}
{{- if and (include "icap.online" .) (or (eq (toString .Values.reclaimCronJob.enabled) "true") (and (eq (toString .Values.reclaimCronJob.enabled) "auto") (include "icap.canGoToZero" .))) }}true{{ end -}}
{{- end -}}

{{/*
icap.knows (list root kind): whether there is this kind of the Prometheus operator's. A cluster names its kinds;
`--api-versions monitoring.coreos.com/v1`, the usual way to render without one, names the group alone and means all.
*/}}
{{- define "icap.knows" -}}
{{- $apis := (index . 0).Capabilities.APIVersions -}}{{- $group := "monitoring.coreos.com/v1" -}}
{{- $kinds := list -}}
{{- range $apis }}{{ if hasPrefix (printf "%s/" $group) . }}{{ $kinds = append $kinds . }}{{ end }}{{ end -}}
{{- if ternary ($apis.Has $group) (has (printf "%s/%s" $group (index . 1)) $kinds) (empty $kinds) }}true{{ end -}}
{{- end -}}

{{/* pod, service, annotations, or nothing. */}}
{{- define "icap.monitoring" -}}
{{- $enabled := toString .Values.monitoring.enabled -}}
{{- $type := .Values.monitoring.type -}}
{{- $pod := include "icap.knows" (list . "PodMonitor") -}}
{{- $service := include "icap.knows" (list . "ServiceMonitor") -}}
{{- if eq $type "auto" }}{{ $type = ternary "service" "pod" (and (empty $pod) (not (empty $service))) }}{{ end -}}
{{- $there := eq $type "service" | ternary $service $pod -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (or $there (eq $type "annotations"))) }}{{ $type }}{{ end -}}
{{- end -}}

{{/* Whether somebody has to write Secrets: then the Job init-secrets is there. */}}
{{- define "icap.plan" -}}
{{- $secrets := list -}}
{{- if not .Values.app.apiKey.existingSecret -}}
{{- $secrets = append $secrets (dict "name" (include "icap.apiKeySecret" .) "kind" "api-key") -}}
{{- end -}}
{{- if not .Values.app.credentials.existingSecret -}}
{{- $secrets = append $secrets (dict "name" (include "icap.credentialsSecret" .) "kind" "credentials") -}}
{{- end -}}
{{- if and (include "icap.online" .) (not .Values.license.existingSecret) -}}
{{- $secrets = append $secrets (dict "name" (include "icap.licenseSecret" .) "kind" "license-key") -}}
{{- end -}}
{{- if and (include "icap.hasDatabase" .) (not .Values.database.existingSecret) -}}
{{- $secrets = append $secrets (dict "name" (include "icap.databaseSecret" .) "kind" "database-credentials") -}}
{{- end -}}
{{- if $secrets }}{{ toYaml $secrets }}{{ end -}}
{{- end -}}

{{/* What was given by value: file name to value, for the hook Secret alone. */}}
{{- define "icap.given" -}}
{{- $given := dict -}}
{{- with .Values.app.apiKey.value }}{{ $_ := set $given (printf "%s.value" (include "icap.apiKeySecret" $)) . }}{{ end -}}
{{- with .Values.app.credentials.user }}{{ $_ := set $given (printf "%s.user" (include "icap.credentialsSecret" $)) . }}{{ end -}}
{{- with .Values.app.credentials.password }}{{ $_ := set $given (printf "%s.password" (include "icap.credentialsSecret" $)) . }}{{ end -}}
{{- if include "icap.online" . -}}
{{- with trim .Values.license.key }}{{ $_ := set $given (printf "%s.value" (include "icap.licenseSecret" $)) . }}{{ end -}}
{{- with .Values.license.previous }}{{ $_ := set $given (printf "%s.previous" (include "icap.licenseSecret" $)) (join "\n" .) }}{{ end -}}
{{- end -}}
{{- if include "icap.hasDatabase" . -}}
{{- with .Values.database.user }}{{ $_ := set $given (printf "%s.%s" (include "icap.databaseSecret" $) "user") . }}{{ end -}}
{{- with .Values.database.password }}{{ $_ := set $given (printf "%s.%s" (include "icap.databaseSecret" $) "password") . }}{{ end -}}
{{- end -}}
{{- if $given }}{{ toYaml $given }}{{ end -}}
{{- end -}}

{{/* The data of our ConfigMap; its checksum rolls the pods. */}}
{{- define "icap.configData" -}}
{{- $data := dict -}}
{{- with .Values.app.confJson }}{{ $_ := set $data "ICAP_CONF_JSON" . }}{{ end -}}
{{- with .Values.activation.ca.pem }}{{ $_ := set $data "activation-ca.pem" . }}{{ end -}}
{{- range $name, $pem := .Values.app.trustCertificates.files }}{{ $_ := set $data (printf "trust-%s" $name) $pem }}{{ end -}}
{{- if $data }}{{ toYaml $data }}{{ end -}}
{{- end -}}

{{- define "icap.trustsCertificates" -}}{{ with .Values.app.trustCertificates }}{{ if or .files .existingConfigMap }}true{{ end }}{{ end }}{{- end -}}

{{/* icap.scalar VALUE: as text, a list by commas; Helm reads every number as a float, and 1000000 would become 1e+06. */}}
{{- define "icap.scalar" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* Of an address with or without a scheme: host and port without what else stands there, the host, and the port that is meant. */}}
{{- define "icap.authority" -}}
{{- regexFind "^[^/?#]*" (regexReplaceAll "^[A-Za-z][A-Za-z0-9+.-]*://" . "") | splitList "@" | last -}}
{{- end -}}
{{- define "icap.hostOf" -}}{{ regexReplaceAll ":[0-9]*$" (include "icap.authority" .) "" | trimAll "[]" }}{{- end -}}
{{- define "icap.portOf" -}}
{{- regexFind ":[0-9]+$" (include "icap.authority" .) | trimPrefix ":" | default (lower . | hasPrefix "http://" | ternary "80" "443") -}}
{{- end -}}

{{/* icap.portsOf (list addresses further default): the ports that a policy opens, as YAML; the default only where nothing tells one. */}}
{{- define "icap.portsOf" -}}
{{- $ports := list -}}
{{- range compact (index . 0) }}{{ $ports = append $ports (include "icap.portOf" . | int) }}{{ end -}}
{{- range index . 1 }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- $ports | uniq | default (list (index . 2)) | toYaml -}}
{{- end -}}

{{- define "icap.activationPorts" -}}{{ include "icap.portsOf" (list (list .Values.activation.url) .Values.networkPolicy.egress.activation.ports 443) }}{{- end -}}
{{- define "icap.hasProxy" -}}{{ with .Values.proxy }}{{ if or .http .https .existingSecret }}true{{ end }}{{ end }}{{- end -}}
