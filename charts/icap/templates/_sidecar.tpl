{{/* The sidecar's container, and what hooks and the CronJob share with it. */}}

{{/* A number, so that the kubelet can check it; none where the platform gives every namespace a range of its own. */}}
{{- define "icap.user" -}}
runAsNonRoot: true
{{- with .Values.sidecar.runAsUser }}
runAsUser: {{ int . }}
runAsGroup: {{ int . }}
{{- end }}
{{- end -}}

{{/* What the restricted Pod Security level asks of a container, and a read-only root besides. */}}
{{- define "icap.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{ include "icap.user" . }}
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "icap.podSecurity" -}}
{{ include "icap.user" . }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "icap.podIdentity" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end -}}

{{/* Settings that every command needs which touches seats. */}}
{{- define "icap.sidecarEnv" -}}
{{ include "icap.podIdentity" . }}
- name: LICENSE_SIDECAR_POD_RELEASE
  value: {{ .Release.Name | quote }}
- name: LICENSE_SIDECAR_MODE
  value: {{ include "icap.mode" . | quote }}
- name: LICENSE_SIDECAR_ACTIVATION_URL
  value: {{ include "icap.activationUrl" . | quote }}
- name: LICENSE_SIDECAR_ACTIVATION_ROUTE
  value: {{ .Values.activation.route | quote }}
{{- if include "icap.hasActivationCa" . }}
- name: LICENSE_SIDECAR_ACTIVATION_CA_FILE
  value: /etc/license-sidecar/activation-ca/ca.pem
{{- end }}
{{- with .Values.license.seats }}
- name: LICENSE_SIDECAR_KEY_SEATS
  value: {{ int . | quote }}
{{- end }}
- name: LICENSE_SIDECAR_LEDGER_KIND
  value: kubernetes
- name: LICENSE_SIDECAR_LEDGER_NAMESPACE
  value: {{ include "icap.ledgerNamespace" . | quote }}
- name: LICENSE_SIDECAR_LOG_FORMAT
  value: {{ dig "log" "format" "json" .Values.sidecar.settings | quote }}
{{- range $section, $settings := .Values.sidecar.settings }}
{{- range $name, $value := $settings }}
{{- if ne (printf "%s.%s" $section $name) "log.format" }}
- name: LICENSE_SIDECAR_{{ upper $section }}_{{ upper $name }}
  value: {{ include "icap.scalar" $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- include "icap.block" (list 0 (include "icap.proxyEnv" (list . (list "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY")))) }}
{{- with .Values.sidecar.extraEnv }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/* icap.proxyEnv (list root (list http https no)): the API server, the app and the database are never asked through a proxy. */}}
{{- define "icap.proxyEnv" -}}
{{- $root := index . 0 -}}{{- $names := index . 1 -}}
{{- with $root.Values.proxy }}
{{- if or .http .https .existingSecret }}
{{- if .existingSecret }}
- name: {{ index $names 0 | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: http_proxy
      optional: true
- name: {{ index $names 1 | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: https_proxy
      optional: true
{{- else }}
{{- with .http }}
- name: {{ index $names 0 | quote }}
  value: {{ . | quote }}
{{- end }}
{{- with .https }}
- name: {{ index $names 1 | quote }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
- name: {{ index $names 2 | quote }}
  value: {{ include "icap.noProxy" $root | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "icap.noProxy" -}}
{{- $hosts := list "127.0.0.1" "::1" "localhost" "$(KUBERNETES_SERVICE_HOST)" "kubernetes.default.svc" ".svc" ".cluster.local" -}}
{{- with include "icap.databaseHost" . }}{{ $hosts = append $hosts . }}{{ end -}}
{{- with .Values.olms.url }}{{ $hosts = append $hosts (include "icap.hostOf" .) }}{{ end -}}
{{- concat $hosts .Values.proxy.noProxy | uniq | join "," -}}
{{- end -}}

{{/* The token: for the sidecar and for our own Jobs alone, never for the container that parses files. */}}
{{- define "icap.tokenVolume" -}}
- name: license-sidecar-token
  projected:
    defaultMode: 0444
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end -}}

{{- define "icap.tokenMount" -}}
- name: license-sidecar-token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}

{{/* icap.keyVolume (list root optional): 0444, because an fsGroup would re-own the app's volumes; mounted in the sidecar alone. */}}
{{- define "icap.keyVolume" -}}
{{- if include "icap.online" (index . 0) }}
- name: license-key
  secret:
    secretName: {{ include "icap.licenseSecret" (index . 0) | quote }}
    defaultMode: 0444
    {{- if index . 1 }}
    optional: true
    {{- end }}
{{- end }}
{{- end -}}

{{- define "icap.keyMount" -}}
{{- if include "icap.online" . }}
- name: license-key
  mountPath: /run/secrets/license
  readOnly: true
{{- end }}
{{- end -}}

{{/* icap.caVolume (list root config-map optional): the second where ours is not there yet, the third where it may be gone. */}}
{{- define "icap.caVolume" -}}
{{- $root := index . 0 -}}
{{- $own := gt (len .) 1 | ternary (index (append . "") 1) (include "icap.config" $root) -}}
{{- $optional := gt (len .) 2 -}}
{{- if include "icap.hasActivationCa" $root }}
{{- with $root.Values.activation.ca }}
- name: activation-ca
  {{- if .existingSecret }}
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 0444
    {{- if $optional }}
    optional: true
    {{- end }}
    items:
      - key: {{ .key | quote }}
        path: ca.pem
  {{- else }}
  configMap:
    name: {{ .existingConfigMap | default $own | quote }}
    defaultMode: 0444
    {{- if $optional }}
    optional: true
    {{- end }}
    items:
      - key: {{ ternary "activation-ca.pem" .key (empty .existingConfigMap) | quote }}
        path: ca.pem
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "icap.caMount" -}}
{{- if include "icap.hasActivationCa" . }}
- name: activation-ca
  mountPath: /etc/license-sidecar/activation-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "icap.sidecar" -}}
- name: license-sidecar
  image: {{ include "icap.image" (list . .Values.sidecar.image .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.sidecar.image.pullPolicy | quote }}
  args: [run]
  {{- if include "icap.native" . }}
  restartPolicy: Always
  {{- end }}
  securityContext:
    {{- include "icap.containerSecurity" . | nindent 4 }}
  env:
    {{- include "icap.sidecarEnv" . | nindent 4 }}
    - name: LICENSE_SIDECAR_APP_URL
      value: {{ printf "http://127.0.0.1:%d" (int .Values.app.ports.rest) | quote }}
    - name: LICENSE_SIDECAR_APP_CONTAINER
      value: md-icapsrv
    - name: LICENSE_SIDECAR_APP_API_KEY_FILE
      value: /run/secrets/app/value
    - name: LICENSE_SIDECAR_KEY_DIR
      value: /run/secrets/license
    - name: LICENSE_SIDECAR_REFUSED_DIR
      value: /run/license-sidecar
    - name: LICENSE_SIDECAR_HTTP_PORT
      value: {{ int .Values.sidecar.port | quote }}
    - name: LICENSE_SIDECAR_SHUTDOWN_BUDGET
      value: {{ int .Values.sidecar.shutdownBudgetSeconds | quote }}
    {{- if not (include "icap.native" .) }}
    # Here both get SIGTERM together: the seat must not go before the app has ended.
    - name: LICENSE_SIDECAR_SHUTDOWN_DRAIN
      value: {{ include "icap.appEnd" . | quote }}
    {{- end }}
  ports:
    - name: license
      containerPort: {{ int .Values.sidecar.port }}
      protocol: TCP
  # The app waits for this one in native mode; it asks for settings and a port, not for a licence.
  startupProbe:
    httpGet:
      path: /startupz
      port: license
    periodSeconds: 1
    timeoutSeconds: 3
    failureThreshold: 120
  readinessProbe:
    httpGet:
      path: /readyz
      port: license
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 2
  livenessProbe:
    httpGet:
      path: /livez
      port: license
    periodSeconds: 10
    timeoutSeconds: 3
    failureThreshold: 3
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  volumeMounts:
    {{- include "icap.tokenMount" . | nindent 4 }}
    {{- include "icap.block" (list 4 (include "icap.keyMount" .)) }}
    {{- include "icap.block" (list 4 (include "icap.caMount" .)) }}
    - name: app-api-key
      mountPath: /run/secrets/app
      readOnly: true
    - name: license-shared
      mountPath: /run/license-sidecar
    {{- with .Values.sidecar.extraVolumeMounts }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end -}}
