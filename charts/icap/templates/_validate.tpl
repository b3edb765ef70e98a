{{/* Every contradiction at once, each with what to do about it. What has a wrong type or name is the schema's affair. */}}

{{- define "icap.faults" -}}
{{- $v := .Values -}}
{{- $faults := list -}}
{{- $standIn := include "icap.standIn" . -}}
{{- $online := include "icap.online" . -}}
{{- $key := trim $v.license.key -}}

{{- if not (or $v.acceptEula $standIn) -}}
{{- $faults = append $faults "acceptEula is false: ICAP Server starts only if you accept the vendor's licence agreement. Read it and set acceptEula: true." -}}
{{- end -}}

{{- /* images: without a version it would be another one at each start */ -}}
{{- $images := dict -}}
{{- if not $standIn }}{{ $_ := set $images "app.image" $v.app.image }}{{ end -}}
{{- if $v.database.embedded.enabled }}{{ $_ := set $images "database.embedded.image" $v.database.embedded.image }}{{ end -}}
{{- range $where, $image := $images -}}
{{- if not (or $image.tag $image.digest) -}}
{{- $faults = append $faults (printf "%s has neither tag nor digest: nobody could say which version runs. Set %s.tag, or %s.digest." $where $where $where) -}}
{{- end -}}
{{- end -}}

{{- /* the key */ -}}
{{- if $online -}}
{{- if contains "SET_LICENSE_KEY_HERE" $key -}}
{{- $faults = append $faults "license.key is a placeholder. Put your activation key there, or leave it out in an upgrade: the stored one stays." -}}
{{- else if and $key $v.license.existingSecret -}}
{{- $faults = append $faults "license.key and license.existingSecret are both set. A Secret of your own is never written to: put the key into it and leave license.key out." -}}
{{- else if and .Release.IsInstall (not $key) (not $v.license.existingSecret) -}}
{{- $faults = append $faults "There is no activation key. Set license.key, or license.existingSecret to a Secret that holds it in `value` (also one that an earlier release left: mdicapsrv-license-key)." -}}
{{- end -}}
{{- if and $v.license.previous $v.license.existingSecret -}}
{{- $faults = append $faults "license.previous and license.existingSecret are both set. Put former keys into the entry `previous` of your Secret, one per line." -}}
{{- end -}}
{{- end -}}

{{- /* the app's credentials */ -}}
{{- with $v.app.apiKey -}}
{{- if and .value .existingSecret -}}
{{- $faults = append $faults "app.apiKey.value and app.apiKey.existingSecret are both set. Choose one." -}}
{{- else if .value -}}
{{- $letters := len (regexReplaceAll "[^a-f]" .value "") -}}
{{- $digits := len (regexReplaceAll "[^0-9]" .value "") -}}
{{- if or (not (regexMatch "^[0-9a-f]{36}$" .value)) (lt $letters 10) (lt $digits 10) (regexMatch "[a-f]{4}|[0-9]{4}" .value) -}}
{{- $faults = append $faults "app.apiKey.value breaks the product's rule: exactly 36 characters of 0-9a-f, at least 10 letters and 10 digits, at most 3 letters and 3 digits in a row. Leave it empty to have one made." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.app.credentials -}}
{{- if and .existingSecret (or .user .password) -}}
{{- $faults = append $faults "app.credentials.existingSecret is set together with user or password. Choose one." -}}
{{- end -}}
{{- end -}}

{{- /* the database */ -}}
{{- with $v.database -}}
{{- if and .host .embedded.enabled -}}
{{- $faults = append $faults "database.host and database.embedded.enabled are both set. Choose one." -}}
{{- else if not (or .host .embedded.enabled $standIn) -}}
{{- $faults = append $faults "The app needs a database. Set database.host, or database.embedded.enabled: true to try it out." -}}
{{- end -}}
{{- if and .existingSecret (or .user .password) -}}
{{- $faults = append $faults "database.existingSecret is set together with user or password. Choose one." -}}
{{- else if and .host $.Release.IsInstall (not .existingSecret) (not (and .user .password)) -}}
{{- $faults = append $faults "database.host needs database.user and database.password, or database.existingSecret (also one that an earlier release left)." -}}
{{- end -}}
{{- end -}}

{{- /* the sidecar */ -}}
{{- if and (eq $v.sidecar.mode "native") (not (include "icap.hasNativeSidecars" .)) -}}
{{- $faults = append $faults (printf "sidecar.mode is native, but this is Kubernetes %s: native sidecars need 1.29 or later. Set sidecar.mode: auto." .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- range $v.sidecar.extraEnv -}}
{{- if hasPrefix "LICENSE_SIDECAR_" (get . "name" | toString) -}}
{{- $faults = append $faults (printf "sidecar.extraEnv: %s is a setting. Put it into sidecar.settings, or use the value of the chart that is for it." .name) -}}
{{- end -}}
{{- end -}}
{{- $needed := int (include "icap.gracePeriodNeeded" .) -}}
{{- if lt (int (include "icap.gracePeriod" .)) $needed -}}
{{- $faults = append $faults (printf "terminationGracePeriodSeconds is %d, but a pod may need %d: app.preStopSeconds %d + app.stopSeconds %d + sidecar.shutdownBudgetSeconds %d + 5. The seat would not be given back in time. Leave it out to have it computed." (int $v.terminationGracePeriodSeconds) $needed (int $v.app.preStopSeconds) (int $v.app.stopSeconds) (int $v.sidecar.shutdownBudgetSeconds)) -}}
{{- end -}}
{{- with $v.activation.ca -}}
{{- if gt (len (compact (list .pem .existingConfigMap .existingSecret))) 1 -}}
{{- $faults = append $faults "activation.ca: pem, existingConfigMap and existingSecret exclude each other. Choose one." -}}
{{- end -}}
{{- end -}}
{{- if not (or $v.serviceAccount.create $v.serviceAccount.name) -}}
{{- $faults = append $faults "serviceAccount.create is false: name the account in serviceAccount.name." -}}
{{- end -}}

{{- /* pods and seats */ -}}
{{- $most := include "icap.mostPods" . -}}
{{- $surge := int (include "icap.maxSurge" .) -}}
{{- if and $online (not (kindIs "invalid" $v.license.seats)) $most -}}
{{- if gt (add (int $most) $surge) (int $v.license.seats) -}}
{{- $faults = append $faults (printf "license.seats is %d, but up to %d pods can be there at a time: %s %s + %d of surge (strategy.rollingUpdate.maxSurge). The last ones would get no licence. Have fewer pods, more seats, or maxSurge: 0." (int $v.license.seats) (int (add (int $most) $surge)) ($v.autoscaling.enabled | ternary "autoscaling.maxReplicas" "replicas") $most $surge) -}}
{{- end -}}
{{- end -}}
{{- with $v.strategy.rollingUpdate -}}
{{- if and (hasKey . "maxUnavailable") (has (toString .maxUnavailable) (list "0" "0%")) (hasKey . "maxSurge") (has (toString .maxSurge) (list "0" "0%")) -}}
{{- $faults = append $faults "strategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could ever be replaced. Set maxUnavailable: 1." -}}
{{- end -}}
{{- end -}}
{{- with $v.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- $faults = append $faults (printf "autoscaling.minReplicas %d is more than autoscaling.maxReplicas %d." (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- $others := list -}}
{{- range .metrics }}{{ $others = append $others (get . "type") }}{{ end -}}
{{- if and .enabled (eq (int .minReplicas) 0) (not (or (has "External" $others) (has "Object" $others))) -}}
{{- $faults = append $faults "autoscaling.minReplicas is 0, which a HorizontalPodAutoscaler can do only by a metric of type External or Object (autoscaling.metrics), where the cluster has HPAScaleToZero. Set it to 1, or let a scaler that can (KEDA) do it all: autoscaling.enabled: false and replicas: null." -}}
{{- end -}}
{{- if and .enabled (not $standIn) (not (dig "requests" "cpu" "" $v.app.resources)) -}}
{{- $faults = append $faults "autoscaling aims at a share of app.resources.requests.cpu, which is not set." -}}
{{- end -}}
{{- end -}}
{{- if and $v.persistence.enabled (include "icap.severalPods" .) (has "ReadWriteOncePod" $v.persistence.accessModes) -}}
{{- $faults = append $faults "persistence.accessModes is ReadWriteOncePod, but there can be several pods. Use ReadWriteMany." -}}
{{- end -}}

{{- /* ports, labels, environment */ -}}
{{- $ports := dict (int $v.sidecar.port | toString) (list "sidecar.port") -}}
{{- range $name, $port := $v.app.ports -}}
{{- if or (not (hasPrefix "nginx" $name)) $v.app.nginx.enabled -}}
{{- $port = int $port | toString -}}
{{- $_ := set $ports $port (append (get $ports $port | default list) (printf "app.ports.%s" $name)) -}}
{{- end -}}
{{- end -}}
{{- range $port, $places := $ports -}}
{{- if gt (len $places) 1 -}}
{{- $faults = append $faults (printf "%s are one port, %s. All containers of a pod share its ports: choose another." (join " and " $places) $port) -}}
{{- end -}}
{{- end -}}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- $places := dict "commonLabels" $v.commonLabels "podLabels" $v.podLabels "service.labels" $v.service.labels "hooks.podLabels" $v.hooks.podLabels "monitoring.labels" $v.monitoring.labels "monitoring.rules.labels" $v.monitoring.rules.labels "monitoring.dashboard.labels" $v.monitoring.dashboard.labels -}}
{{- range $where, $labels := $places -}}
{{- range $name, $_ := $labels -}}
{{- if or (has $name $ours) (and (eq $name "app") (not (hasPrefix "monitoring." $where))) -}}
{{- $faults = append $faults (printf "%s: the label %s belongs to the chart (selectors rest on it). Choose another name." $where $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $licensing := list "LICENSE_KEY" "LICENSING_CLEANUP" -}}
{{- $own := list "APIKEY" "MD_USER" "MD_PWD" "MDICAPSRV_INSTANCE_NAME" "ACCEPT_EULA" "DB_MODE" "DB_TYPE" "DB_HOST" "DB_PORT" "DB_USER" "DB_PWD" "MDICAPSRV_DB_NAME" "REST_PORT" "ICAP_PORT" "ICAPS_PORT" "NGINX_PORT" "NGINXS_PORT" "ENABLE_NGINX" "HTTPS_CERT_PATH" "ICAPS_CERT_PATH" "NGINXS_CERT_PATH" "HTTPS_SSL_PROTOCOLS" "ICAPS_SSL_PROTOCOLS" "NGINXS_SSL_PROTOCOLS" "ICAP_TRUST_CERTS_PATH" "AUDIT_DATA_RETENTION" "HISTORY_DATA_RETENTION" "ENABLE_HEALTHCHECK" "ICAP_CONF_JSON" "IGNITION_JSON" "OLMS_HOST_URL" "http_proxy" "https_proxy" "NO_PROXY" -}}
{{- $variables := dict "extraEnv" list "app.importPackage.env" (keys $v.app.importPackage.env | sortAlpha) "app.importPackage.secretEnv" (keys $v.app.importPackage.secretEnv | sortAlpha) -}}
{{- range $v.extraEnv }}{{ $_ := set $variables "extraEnv" (append (get $variables "extraEnv") .name) }}{{ end -}}
{{- range $where, $names := $variables -}}
{{- range $name := $names -}}
{{- if has $name $licensing -}}
{{- $faults = append $faults (printf "%s: %s would make the app license itself beside the sidecar, and seats leak. Leave it out; activation.route: app is the supported way." $where $name) -}}
{{- else if has $name $own -}}
{{- $faults = append $faults (printf "%s: %s is set by the chart. Use the value that is for it." $where $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* what is the sidecar's alone, however it is asked for */ -}}
{{- $secret := include "icap.licenseSecret" . -}}
{{- $asking := dict "extraEnv" $v.extraEnv "extraEnvFrom" $v.extraEnvFrom "extraVolumes" $v.extraVolumes "extraVolumeMounts" (list (dict "volumeMounts" $v.extraVolumeMounts)) "extraContainers" $v.extraContainers "extraInitContainers" $v.extraInitContainers "sidecar.extraEnv" $v.sidecar.extraEnv "app.importPackage.existingSecret" (list (dict "secretName" $v.app.importPackage.existingSecret)) "olms.existingSecret" (list (dict "secretName" $v.olms.existingSecret)) -}}
{{- range $where, $items := $asking -}}
{{- $items = tpl (toYaml $items) $ | fromYamlArray -}}
{{- if has $secret (include "icap.secretsIn" $items | splitList "\n") -}}
{{- $faults = append $faults (printf "%s names the Secret %s, which holds the activation key: it is for the sidecar alone, and a file there. Keep what else you need in a Secret of its own." $where $secret) -}}
{{- end -}}
{{- range $items -}}
{{- range (kindIs "map" . | ternary . (dict)).volumeMounts -}}
{{- if has .name (list "license-key" "license-sidecar-token" "app-api-key") -}}
{{- $faults = append $faults (printf "%s mounts %s: this volume holds a secret of the sidecar's and is for the sidecar alone. Name a volume of your own (extraVolumes)." $where .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* certificates */ -}}
{{- range $name, $tls := $v.tls -}}
{{- if $tls.enabled -}}
{{- if and $tls.existingSecret (or $tls.certSecret $tls.certKeySecret) -}}
{{- $faults = append $faults (printf "tls.%s: existingSecret and the pair certSecret, certKeySecret are both set. Choose one." $name) -}}
{{- else if not (or $tls.existingSecret (and $tls.certSecret $tls.certKeySecret)) -}}
{{- $faults = append $faults (printf "tls.%s is on without a certificate. Set tls.%s.existingSecret (type kubernetes.io/tls), or both certSecret and certKeySecret." $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.tls.nginxs.enabled (not $v.app.nginx.enabled) -}}
{{- $faults = append $faults "tls.nginxs is on, but NGINX is not. Set app.nginx.enabled: true." -}}
{{- end -}}

{{- /* ways in */ -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- $faults = append $faults "httpRoute.enabled needs httpRoute.parentRefs: the gateway that shall carry the route." -}}
{{- end -}}

{{- /* monitoring */ -}}
{{- $types := list "auto" "pod" "service" "annotations" -}}
{{- if not (has $v.monitoring.type $types) -}}
{{- $faults = append $faults (printf "monitoring.type is %q. Choose one of %s: two at once would count every pod twice." $v.monitoring.type (join ", " $types)) -}}
{{- else if and (hasKey $v.podAnnotations "prometheus.io/scrape") (include "icap.monitoring" .) -}}
{{- $faults = append $faults (printf "podAnnotations has prometheus.io/scrape, and monitoring.type is %s: every pod would be counted twice. Leave one of them out." (include "icap.monitoring" .)) -}}
{{- end -}}

{{- /* the on-premises licence server */ -}}
{{- with $v.olms -}}
{{- if and (or .url .existingSecret .env) $online -}}
{{- $faults = append $faults "olms is set and mode is online: with an on-premises licence server the product ignores keys. Set mode: observe." -}}
{{- end -}}
{{- range $name, $_ := .env -}}
{{- if or (not (hasPrefix "OLMS_" $name)) (eq $name "OLMS_HOST_URL") -}}
{{- $faults = append $faults (printf "olms.env: %s is none of the product's further OLMS_* variables. Use extraEnv, or olms.url." $name) -}}
{{- end -}}
{{- if regexMatch "TOKEN|PASS|PWD|SECRET" $name -}}
{{- $faults = append $faults (printf "olms.env: %s looks like a secret. Put it into a Secret and name that in olms.existingSecret." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* proxies and policies */ -}}
{{- with $v.proxy -}}
{{- if and .existingSecret (or .http .https) -}}
{{- $faults = append $faults "proxy.existingSecret is set together with proxy.http or proxy.https. Choose one." -}}
{{- end -}}
{{- if or (contains "@" .http) (contains "@" .https) -}}
{{- $faults = append $faults "proxy: an address with a password would stand in the Deployment for all to read. Put it into a Secret (entries http_proxy, https_proxy) and name that in proxy.existingSecret." -}}
{{- end -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- with $v.networkPolicy.egress -}}
{{- if and (or $v.proxy.http $v.proxy.https $v.proxy.existingSecret) (not .proxy.cidrs) -}}
{{- $faults = append $faults "networkPolicy is on with a proxy: set networkPolicy.egress.proxy.cidrs, or no seat can be taken." -}}
{{- end -}}
{{- if and $v.database.host (not .database.cidrs) -}}
{{- $faults = append $faults "networkPolicy is on with database.host: set networkPolicy.egress.database.cidrs, or the app cannot reach its database." -}}
{{- end -}}
{{- if and $v.olms.url (not .olms.cidrs) -}}
{{- $faults = append $faults "networkPolicy is on with olms.url: set networkPolicy.egress.olms.cidrs, or the app gets no licence." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* trials */ -}}
{{- if $v.mockActivation.enabled -}}
{{- if ne $v.activation.url "https://activation.dl.opswat.com" -}}
{{- $faults = append $faults "mockActivation.enabled and activation.url are both set. The mock has an address of its own: leave activation.url out." -}}
{{- end -}}
{{- range $where, $keys := dict "license.key" (list $key) "license.previous" $v.license.previous -}}
{{- range $keys -}}
{{- if and (not $standIn) (regexMatch "^[0-9A-Za-z]{4}(-[0-9A-Za-z]{4}){6,7}$" (trim .)) (not (regexMatch "^(FAKE|MOCK|TEST|DEMO)-" (trim .))) -}}
{{- $faults = append $faults (printf "mockActivation.enabled with the vendor's image and a key that looks real in %s: the mock licenses nothing and gives no real seat back. Switch the mock off, or use a made-up key (FAKE-...)." $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* taking over */ -}}
{{- if $v.adoption.fromVendor -}}
{{- if ne $v.naming "fixed" -}}
{{- $faults = append $faults "adoption.fromVendor needs naming: fixed, for these are the vendor's names." -}}
{{- end -}}
{{- if and $v.database.embedded.enabled (not $v.adoption.acceptDatabaseLoss) -}}
{{- $faults = append $faults "adoption.fromVendor with database.embedded: the vendor chart's embedded database is not taken over; its users, settings and history are lost. Use database.host with an external one, or say adoption.acceptDatabaseLoss: true." -}}
{{- end -}}
{{- end -}}

{{- join "\n" $faults -}}
{{- end -}}

{{/* icap.secretsIn ANYTHING: the names of Secrets in it, one per line, wherever a pod may name one. */}}
{{- define "icap.secretsIn" -}}
{{- if kindIs "slice" . }}{{ range . }}{{ include "icap.secretsIn" . }}{{ end }}
{{- else if kindIs "map" . }}
{{- range $key, $value := . }}
{{- if eq $key "secretName" }}{{ printf "%v\n" $value }}
{{- else if and (has $key (list "secret" "secretRef" "secretKeyRef")) (kindIs "map" $value) }}{{ printf "%v\n" (get $value "name") }}
{{- end }}
{{- include "icap.secretsIn" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "icap.validate" -}}
{{- with include "icap.faults" . -}}
{{- fail (printf "\n\n%s\n" .) -}}
{{- end -}}
{{- end -}}
