{{/* Names and labels. They never change between versions: selectors cannot be changed, and others refer to the names. */}}

{{/* icap.prefixed (list root suffix longest): RELEASE-suffix, cut with a hash where it would be too long. */}}
{{- define "icap.prefixed" -}}
{{- $root := index . 0 -}}{{- $suffix := index . 1 -}}{{- $longest := index . 2 -}}
{{- $name := printf "%s-%s" $root.Release.Name $suffix -}}
{{- if gt (len $name) $longest -}}
{{- $room := int (sub $longest (add (len $suffix) 8)) -}}
{{- $name = printf "%s-%s-%s" ($root.Release.Name | trunc $room | trimSuffix "-") ($root.Release.Name | sha256sum | trunc 6) $suffix -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* icap.name (list root name): one of the vendor's names, as naming says. */}}
{{- define "icap.name" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.naming "release" -}}
{{- include "icap.prefixed" (list $root (index . 1) 63) -}}
{{- else -}}
{{- index . 1 -}}
{{- end -}}
{{- end -}}

{{/* icap.own (list root name): one of our own helpers, always with the release's name. */}}
{{- define "icap.own" -}}
{{- include "icap.prefixed" (list (index . 0) (index . 1) 63) -}}
{{- end -}}

{{/* At most 46: Kubernetes cuts NAME-HASH10- at 58 characters before it adds five to name a pod, and alerts know pods by NAME. */}}
{{- define "icap.workload" -}}
{{- if eq .Values.naming "release" }}{{ include "icap.prefixed" (list . "md-icapsrv" 46) }}{{ else }}md-icapsrv{{ end -}}
{{- end -}}

{{- define "icap.apiKeySecret" -}}{{ .Values.app.apiKey.existingSecret | default (include "icap.name" (list . "mdicapsrv-api-key")) }}{{- end -}}
{{- define "icap.credentialsSecret" -}}{{ .Values.app.credentials.existingSecret | default (include "icap.name" (list . "mdicapsrv-cred")) }}{{- end -}}
{{- define "icap.licenseSecret" -}}{{ .Values.license.existingSecret | default (include "icap.name" (list . "mdicapsrv-license-key")) }}{{- end -}}
{{- define "icap.databaseSecret" -}}{{ .Values.database.existingSecret | default (include "icap.name" (list . "mdicapsrv-postgres-cred")) }}{{- end -}}
{{/* At most 52: a StatefulSet's pods have its name and a hash of eleven characters in one label. */}}
{{- define "icap.postgres" -}}{{ include "icap.prefixed" (list . "postgres" 52) }}{{- end -}}
{{- define "icap.mock" -}}{{ include "icap.own" (list . "mock-activation") }}{{- end -}}
{{- define "icap.config" -}}{{ include "icap.own" (list . "icap-config") }}{{- end -}}
{{- define "icap.peers" -}}{{ include "icap.own" (list . "license-sidecar") }}{{- end -}}
{{- define "icap.serviceAccount" -}}{{ .Values.serviceAccount.name | default (include "icap.own" (list . "license-sidecar")) }}{{- end -}}
{{- define "icap.claim" -}}{{ .Values.persistence.existingClaim | default .Values.persistence.claimName | default (include "icap.name" (list . "md-icapsrv-data")) }}{{- end -}}
{{- define "icap.ledgerNamespace" -}}{{ .Values.ledger.namespace | default .Release.Namespace }}{{- end -}}

{{/*
icap.abroad (list root suffix): for objects of this release in another namespace, where other releases may have put theirs.
The dot, which no namespace has: team-a and icap are not team and a-icap.
*/}}
{{- define "icap.abroad" -}}
{{- $root := index . 0 -}}{{- $suffix := index . 1 -}}
{{- $name := printf "%s.%s-%s" $root.Release.Namespace $root.Release.Name $suffix -}}
{{- if gt (len $name) 63 -}}{{- $name = printf "%s-%s" $suffix (sha256sum $name | trunc 12) -}}{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Only this, as in the vendor's chart: so that its release can be replaced in place. */}}
{{- define "icap.selector" -}}
app: {{ include "icap.workload" . | quote }}
{{- end -}}

{{/* Labels of the pods: nothing that changes with the chart's version, or every upgrade would roll them. */}}
{{- define "icap.podLabels" -}}
{{ include "icap.selector" . }}
app.kubernetes.io/name: md-icapsrv
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: icap-server
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of the pods; the checksum is of the data alone, so that nothing else rolls them. */}}
{{- define "icap.podAnnotations" -}}
{{- $all := dict "kubectl.kubernetes.io/default-container" "md-icapsrv" -}}
{{- with include "icap.configData" . }}{{ $_ := set $all "checksum/config" (sha256sum .) }}{{ end -}}
{{- if eq (include "icap.monitoring" .) "annotations" -}}
{{- $all = merge $all (dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString (int .Values.sidecar.port)) "prometheus.io/path" "/metrics") -}}
{{- end -}}
{{- toYaml (merge (dict) .Values.podAnnotations $all) -}}
{{- end -}}

{{/* icap.labels (list root component more): the chart's own win over `more`, and these over commonLabels. */}}
{{- define "icap.labels" -}}
{{- $root := index . 0 -}}
{{- $more := gt (len .) 2 | ternary (last .) (dict) -}}
{{- $own := dict "app.kubernetes.io/name" "md-icapsrv" "app.kubernetes.io/instance" $root.Release.Name "app.kubernetes.io/component" (index . 1) -}}
{{- $own = merge $own (dict "app.kubernetes.io/version" $root.Chart.AppVersion "app.kubernetes.io/managed-by" $root.Release.Service) -}}
{{- $own = merge $own (dict "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_")) -}}
{{- toYaml (merge (dict) $own $more $root.Values.commonLabels) -}}
{{- end -}}

{{/* icap.annotations (list root map-of-more): empty if there are none. */}}
{{- define "icap.annotations" -}}
{{- $all := merge (dict) (index . 1) (index . 0).Values.commonAnnotations -}}
{{- if $all }}
annotations:
  {{- toYaml $all | nindent 2 }}
{{- end }}
{{- end -}}

{{/* icap.hook (list root event weight): annotations of a hook object, which Helm takes away again whatever comes out. */}}
{{- define "icap.hook" -}}
annotations:
  helm.sh/hook: {{ index . 1 }}
  helm.sh/hook-weight: {{ index . 2 | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
  {{- with (index . 0).Values.commonAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* icap.block (list indent text): on lines of its own, or nothing at all. */}}
{{- define "icap.block" -}}
{{- with index . 1 | trimAll "\n" }}{{ . | nindent (int (index $ 0)) }}{{ end -}}
{{- end -}}

{{/* icap.image (list root image default-tag) */}}
{{- define "icap.image" -}}
{{- $image := index . 1 -}}
{{- $registry := (index . 0).Values.global.imageRegistry | default $image.registry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 2) }}{{ end }}
{{- end -}}

{{- define "icap.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}
