{{/* The App Container. */}}

{{/*
Shell built-ins and find only: the image's other programs may be broken by its own library path.
A file younger than two minutes is the sidecar's wish for a restart; a dead sidecar cannot renew it.
Any byte and any end are signs of life: a TLS port answers a plain HEAD with an alert or hangs up, perhaps before all
of it was written. Without the trap that would end the script by SIGPIPE (seen), and so a healthy container.
*/}}
{{- define "icap.livenessScript" -}}
if [[ -n $(find /run/license-sidecar/restart-app -mmin -2 2>/dev/null) ]]; then
  echo "the licence sidecar asks for a restart"; exit 1
fi
trap '' PIPE
exec 3<>/dev/tcp/127.0.0.1/{{ int .Values.app.ports.rest }} || exit 1
printf 'HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 2>/dev/null
IFS= read -r -t 5 -n 1 -u 3 byte
(( $? <= 128 )) || { echo "the REST port does not answer"; exit 1; }
{{- end -}}

{{/* icap.lay (list below above): puts above into below, map by map; one by one, for merge takes a false of the user's for nothing. */}}
{{- define "icap.lay" -}}
{{- $below := index . 0 -}}
{{- range $name, $value := index . 1 -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $below $name)) -}}
{{- include "icap.lay" (list (get $below $name) $value) -}}
{{- else -}}
{{- $_ := set $below $name $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "icap.appSecurity" -}}
{{- $profile := dict -}}
{{- if include "icap.standIn" . -}}
{{- $profile = include "icap.containerSecurity" . | fromYaml -}}
{{- else if eq .Values.app.securityProfile "restricted" -}}
{{- $profile = dict "allowPrivilegeEscalation" false "runAsNonRoot" true "capabilities" (dict "drop" (list "ALL")) "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- end -}}
{{- include "icap.lay" (list $profile .Values.app.securityContext) -}}
{{- if $profile }}{{ toYaml $profile }}{{ end -}}
{{- end -}}

{{- define "icap.appPodSecurity" -}}
{{- $security := dict -}}
{{- if include "icap.standIn" . }}{{ $security = include "icap.podSecurity" . | fromYaml }}{{ end -}}
{{- include "icap.lay" (list $security .Values.app.podSecurityContext) -}}
{{- if $security }}{{ toYaml $security }}{{ end -}}
{{- end -}}

{{- define "icap.appEnv" -}}
- name: MDICAPSRV_INSTANCE_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: APIKEY
  valueFrom:
    secretKeyRef:
      name: {{ include "icap.apiKeySecret" . | quote }}
      key: value
- name: MD_USER
  valueFrom:
    secretKeyRef:
      name: {{ include "icap.credentialsSecret" . | quote }}
      key: user
- name: MD_PWD
  valueFrom:
    secretKeyRef:
      name: {{ include "icap.credentialsSecret" . | quote }}
      key: password
- name: ACCEPT_EULA
  value: {{ .Values.acceptEula | quote }}
# Licensing is the sidecar's affair.
- name: LICENSING_CLEANUP
  value: "false"
{{- if and (include "icap.online" .) (eq .Values.activation.route "app") }}
- name: LICENSE_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "icap.licenseSecret" . | quote }}
      key: value
{{- end }}
{{- if include "icap.hasDatabase" . }}
- name: DB_MODE
  value: {{ .Values.database.mode | quote }}
{{- with .Values.database.type }}
- name: DB_TYPE
  value: {{ . | quote }}
{{- end }}
- name: DB_HOST
  value: {{ include "icap.databaseHost" . | quote }}
- name: DB_PORT
  value: {{ include "icap.databasePort" . | quote }}
- name: DB_USER
  valueFrom:
    secretKeyRef:
      name: {{ include "icap.databaseSecret" . | quote }}
      key: {{ ternary "user" .Values.database.userKey (empty .Values.database.existingSecret) | quote }}
- name: DB_PWD
  valueFrom:
    secretKeyRef:
      name: {{ include "icap.databaseSecret" . | quote }}
      key: {{ ternary "password" .Values.database.passwordKey (empty .Values.database.existingSecret) | quote }}
- name: MDICAPSRV_DB_NAME
  value: {{ .Values.database.name | quote }}
{{- end }}
- name: REST_PORT
  value: {{ int .Values.app.ports.rest | quote }}
- name: ICAP_PORT
  value: {{ int .Values.app.ports.icap | quote }}
- name: ICAPS_PORT
  value: {{ int .Values.app.ports.icaps | quote }}
- name: ENABLE_NGINX
  value: {{ .Values.app.nginx.enabled | quote }}
{{- if .Values.app.nginx.enabled }}
- name: NGINX_PORT
  value: {{ int .Values.app.ports.nginx | quote }}
- name: NGINXS_PORT
  value: {{ int .Values.app.ports.nginxs | quote }}
{{- end }}
{{- range $name, $tls := .Values.tls }}
{{- if $tls.enabled }}
- name: {{ upper $name }}_CERT_PATH
  value: /{{ $name }}_cert
{{- with $tls.protocols }}
- name: {{ upper $name }}_SSL_PROTOCOLS
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- if include "icap.trustsCertificates" . }}
- name: ICAP_TRUST_CERTS_PATH
  value: {{ .Values.app.trustCertificates.mountPath | quote }}
{{- end }}
{{- with include "icap.scalar" .Values.app.auditDataRetention }}
- name: AUDIT_DATA_RETENTION
  value: {{ . | quote }}
{{- end }}
{{- with include "icap.scalar" .Values.app.historyDataRetention }}
- name: HISTORY_DATA_RETENTION
  value: {{ . | quote }}
{{- end }}
{{- with include "icap.scalar" .Values.app.enableHealthcheck }}
- name: ENABLE_HEALTHCHECK
  value: {{ . | quote }}
{{- end }}
{{- if .Values.app.confJson }}
- name: ICAP_CONF_JSON
  valueFrom:
    configMapKeyRef:
      name: {{ include "icap.config" . | quote }}
      key: ICAP_CONF_JSON
{{- end }}
{{- with .Values.app.ignition }}
{{- if .existingSecret }}
- name: IGNITION_JSON
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- with .Values.app.importPackage }}
{{- if .existingSecret }}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- $secret := .existingSecret }}
{{- range $name, $entry := .secretEnv }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ $entry | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.olms }}
{{- if .url }}
- name: OLMS_HOST_URL
  value: {{ .url | quote }}
{{- end }}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- include "icap.block" (list 0 (include "icap.proxyEnv" (list . (list "http_proxy" "https_proxy" "NO_PROXY")))) }}
{{- with .Values.extraEnv }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{- define "icap.app" -}}
- name: md-icapsrv
  {{- if include "icap.standIn" . }}
  image: {{ include "icap.image" (list . .Values.sidecar.image .Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .Values.sidecar.image.pullPolicy | quote }}
  command: [mock-activation]
  args:
    - icap-app
    - --host=0.0.0.0
    - --port={{ int .Values.app.ports.rest }}
    - --icap-port={{ int .Values.app.ports.icap }}
    - --control-host=127.0.0.1
    - --control-port=8049
    - --activation-url={{ include "icap.activationUrl" . }}
    - --api-key-file=/run/secrets/app/value
    {{- if not (include "icap.online" .) }}
    - --licensed
    {{- end }}
  {{- else }}
  image: {{ include "icap.image" (list . .Values.app.image "") | quote }}
  imagePullPolicy: {{ .Values.app.image.pullPolicy | quote }}
  {{- end }}
  {{- with include "icap.appSecurity" . }}
  securityContext:
    {{- . | nindent 4 }}
  {{- end }}
  env:
    {{- include "icap.appEnv" . | nindent 4 }}
  {{- if or .Values.extraEnvFrom .Values.olms.existingSecret }}
  envFrom:
    {{- with .Values.olms.existingSecret }}
    - secretRef:
        name: {{ . | quote }}
    {{- end }}
    {{- with .Values.extraEnvFrom }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- end }}
  ports:
    - name: rest
      containerPort: {{ int .Values.app.ports.rest }}
      protocol: TCP
    - name: icap
      containerPort: {{ int .Values.app.ports.icap }}
      protocol: TCP
    - name: icaps
      containerPort: {{ int .Values.app.ports.icaps }}
      protocol: TCP
    {{- if .Values.app.nginx.enabled }}
    - name: nginx
      containerPort: {{ int .Values.app.ports.nginx }}
      protocol: TCP
    - name: nginxs
      containerPort: {{ int .Values.app.ports.nginxs }}
      protocol: TCP
    {{- end }}
  startupProbe:
    tcpSocket:
      port: rest
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: {{ div (add (int .Values.app.startupSeconds) 4) 5 }}
  livenessProbe:
    exec:
      command:
        - bash
        - -c
        - |
          {{- include "icap.livenessScript" . | nindent 10 }}
    periodSeconds: {{ int .Values.app.liveness.periodSeconds }}
    timeoutSeconds: 10
    failureThreshold: {{ int .Values.app.liveness.failureThreshold }}
  readinessProbe:
    tcpSocket:
      port: icap
    periodSeconds: {{ int .Values.app.readiness.periodSeconds }}
    timeoutSeconds: 3
    failureThreshold: {{ int .Values.app.readiness.failureThreshold }}
  {{- if gt (int .Values.app.preStopSeconds) 0 }}
  lifecycle:
    preStop:
      exec:
        command: [sleep, {{ int .Values.app.preStopSeconds | quote }}]
  {{- end }}
  {{- if include "icap.standIn" . }}
  # Sized for the stand-in: app.resources are those of the vendor's image.
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  {{- else }}
  {{- with .Values.app.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  volumeMounts:
    - name: license-shared
      mountPath: /run/license-sidecar
      readOnly: true
    {{- if include "icap.standIn" . }}
    - name: app-api-key
      mountPath: /run/secrets/app
      readOnly: true
    {{- end }}
    {{- if .Values.persistence.enabled }}
    - name: data
      mountPath: /opt/mdicapsrv/icap_data
    {{- end }}
    {{- range $name, $tls := .Values.tls }}
    {{- if $tls.enabled }}
    - name: {{ $name }}-cert
      mountPath: /{{ $name }}_cert
      readOnly: true
    {{- end }}
    {{- end }}
    {{- if include "icap.trustsCertificates" . }}
    - name: trust-certificates
      mountPath: {{ .Values.app.trustCertificates.mountPath | quote }}
      readOnly: true
    {{- end }}
    {{- with .Values.app.importPackage }}
    {{- if .existingSecret }}
    - name: import-package
      mountPath: {{ .mountPath | quote }}
      readOnly: true
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Exactly the two items, under the vendor's file names: a ca.crt beside them breaks the product. No subPath: it would never be renewed. */}}
{{- define "icap.appVolumes" -}}
{{- if .Values.persistence.enabled }}
- name: data
  persistentVolumeClaim:
    claimName: {{ include "icap.claim" . | quote }}
{{- end }}
{{- range $name, $tls := .Values.tls }}
{{- if $tls.enabled }}
- name: {{ $name }}-cert
  projected:
    defaultMode: 0444
    sources:
      {{- if $tls.existingSecret }}
      - secret:
          name: {{ $tls.existingSecret | quote }}
          items:
            - key: tls.crt
              path: mdicapsrv-{{ $name }}.crt
            - key: tls.key
              path: mdicapsrv-{{ $name }}.key
      {{- else }}
      - secret:
          name: {{ $tls.certSecret | quote }}
          items:
            - key: {{ $tls.certSecretKey | quote }}
              path: mdicapsrv-{{ $name }}.crt
      - secret:
          name: {{ $tls.certKeySecret | quote }}
          items:
            - key: {{ $tls.certKeySecretKey | quote }}
              path: mdicapsrv-{{ $name }}.key
      {{- end }}
{{- end }}
{{- end }}
{{- with .Values.app.trustCertificates }}
{{- if or .files .existingConfigMap }}
- name: trust-certificates
  projected:
    defaultMode: 0444
    sources:
      {{- if .files }}
      - configMap:
          name: {{ include "icap.config" $ | quote }}
          items:
            {{- range $name, $pem := .files }}
            - key: {{ printf "trust-%s" $name | quote }}
              path: {{ $name | quote }}
            {{- end }}
      {{- end }}
      {{- with .existingConfigMap }}
      - configMap:
          name: {{ . | quote }}
      {{- end }}
{{- end }}
{{- end }}
{{- with .Values.app.importPackage }}
{{- if .existingSecret }}
- name: import-package
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 0444
{{- end }}
{{- end }}
{{- end -}}
