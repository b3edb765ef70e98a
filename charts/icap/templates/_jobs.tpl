{{/* Pods of our own besides the app's: hooks, the CronJob, the test. All of them satisfy the restricted level. */}}

{{- define "icap.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . | quote }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* icap.jobMetadata (list root component): never with the label of the selector. */}}
{{- define "icap.jobMetadata" -}}
{{- $root := index . 0 -}}
labels:
  app.kubernetes.io/name: md-icapsrv
  app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
  app.kubernetes.io/component: {{ index . 1 }}
  {{- with $root.Values.hooks.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.hooks.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* icap.jobPod (list root service-account): what the pods have in common, up to their containers. */}}
{{- define "icap.jobPod" -}}
{{- $root := index . 0 -}}
restartPolicy: Never
serviceAccountName: {{ index . 1 | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "icap.podSecurity" $root | nindent 2 }}
{{- include "icap.block" (list 0 (include "icap.pullSecrets" $root)) }}
{{- include "icap.block" (list 0 (include "icap.placement" $root)) }}
{{- with $root.Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
icap.jobVolumes root: the user's volumes that the sidecar mounts; its variables, which the Jobs have too, may speak of files there.
Optional: before an installation or at its end a Secret may not be there, and a pod that waits for it would hold up everything.
*/}}
{{- define "icap.jobVolumes" -}}
{{- $used := list -}}
{{- range tpl (toYaml .Values.sidecar.extraVolumeMounts) . | fromYamlArray }}{{ $used = append $used .name }}{{ end -}}
{{- range $volume := tpl (toYaml .Values.extraVolumes) . | fromYamlArray -}}
{{- if has $volume.name $used -}}
{{- range $source := prepend (dig "projected" "sources" list $volume) $volume -}}
{{- range $kind := list "secret" "configMap" }}{{ with get $source $kind }}{{ $_ := set . "optional" true }}{{ end }}{{ end -}}
{{- end }}
{{ toYaml (list $volume) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "icap.jobMounts" -}}{{ with .Values.sidecar.extraVolumeMounts }}{{ tpl (toYaml .) $ }}{{ end }}{{- end -}}

{{/* icap.jobContainer (list root name): image, safety and size. */}}
{{- define "icap.jobContainer" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 | quote }}
image: {{ include "icap.image" (list $root $root.Values.sidecar.image $root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $root.Values.sidecar.image.pullPolicy | quote }}
securityContext:
  {{- include "icap.containerSecurity" $root | nindent 2 }}
resources:
  {{- toYaml $root.Values.sidecar.resources | nindent 2 }}
{{- end -}}

{{/* Rules of the sidecar, in the own namespace and in the ledger's. A test derives them from what the API server was asked. */}}
{{- define "icap.podRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "icap.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, delete]
{{- end -}}

{{/* icap.hookRights (list root name event weight rules ledger-rules): an account and its rights, as hook objects before the Job. */}}
{{- define "icap.hookRights" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $event := index . 2 -}}{{- $weight := index . 3 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "icap.labels" (list $root "hook") | nindent 4 }}
  {{- include "icap.hook" (list $root $event $weight) | nindent 2 }}
automountServiceAccountToken: false
---
{{ include "icap.hookRole" (list $root $name $root.Release.Namespace $name $event $weight (index . 4)) }}
{{- with index . 5 }}
---
{{ include "icap.hookRole" (list $root (include "icap.abroad" (list $root (printf "license-sidecar-%s" (splitList "-" $name | last)))) (include "icap.ledgerNamespace" $root) $name $event $weight .) }}
{{- end }}
{{- end -}}

{{/* icap.hookRole (list root name namespace service-account event weight rules): the binding later than the Role, whoever sorts. */}}
{{- define "icap.hookRole" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}{{- $namespace := index . 2 -}}{{- $event := index . 4 -}}{{- $weight := index . 5 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name | quote }}
  namespace: {{ $namespace | quote }}
  labels:
    {{- include "icap.labels" (list $root "hook") | nindent 4 }}
  {{- include "icap.hook" (list $root $event $weight) | nindent 2 }}
rules:
  {{- index . 6 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name | quote }}
  namespace: {{ $namespace | quote }}
  labels:
    {{- include "icap.labels" (list $root "hook") | nindent 4 }}
  {{- include "icap.hook" (list $root $event (add $weight 1)) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ index . 3 | quote }}
    namespace: {{ $root.Release.Namespace | quote }}
{{- end -}}

{{/* Where a key is shared by namespaces: enough to see that a pod there is gone. */}}
{{- define "icap.lookRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
{{- end -}}
