# SPDX-License-Identifier: MIT
#
# Results of compare (program, corpus, step, field, value) to Markdown: our
# figures beside the best of the others and the goals, then everybody's.
BEGIN {
	FS = "\t"
	n_programs = split("yore restic borg bup casync raw", programs, " ")
	# What is printed: name | corpus | step | field | better | goal
	# Goals: "le N", "ge N"; "x N" times better than the best of the others;
	# "raw STEP F" no worse than F times that of the plain tools; "-" none.
	rows("first snapshot, small files, cold, s|tree|first_cold|wall|low|raw packed_cold 1")
	rows("- warm, s|tree|first_warm|wall|low|le 3")
	rows("- warm, CPU s|tree|first_warm|cpu|low|le 5")
	rows("its repository, MiB|tree|repository|size|low|le 300")
	rows("first snapshot, disk image, cold, s|vm|first_cold|wall|low|x 2")
	rows("- warm, s|vm|first_warm|wall|low|x 2")
	rows("- warm, CPU s|vm|first_warm|cpu|low|x 1")
	rows("its repository, MiB|vm|repository|size|low|-")
	rows("first snapshot, incompressible, cold, s|media|first_cold|wall|low|x 3")
	rows("- warm, s|media|first_warm|wall|low|x 3")
	rows("- warm, CPU s|media|first_warm|cpu|low|x 1")
	rows("its repository, MiB|media|repository|size|low|-")
	rows("nothing changed, small files, warm, s|tree|same_warm|wall|low|le 0.4")
	rows("- cold, s|tree|same_cold|wall|low|le 1.5")
	rows("nothing changed, disk image, warm, s|vm|same_warm|wall|low|-")
	rows("100 changed files, s|tree|change|wall|low|le 0.5")
	rows("- growth, MiB|tree|change|size|low|le 1")
	rows("disk image, 2 % rewritten + 1 MiB, growth, MiB|vm|change|size|low|le 28")
	rows("- s|vm|change|wall|low|-")
	rows("restore, small files, warm, s|tree|restore_warm|wall|low|le 3")
	rows("- warm, CPU s|tree|restore_warm|cpu|low|le 4")
	rows("- cold, s|tree|restore_cold|wall|low|-")
	rows("restore, disk image, warm, s|vm|restore_warm|wall|low|-")
	rows("- cold, s|vm|restore_cold|wall|low|-")
	rows("restore, incompressible, warm, s|media|restore_warm|wall|low|-")
	rows("mount ready, s|tree|ready|wall|low|le 0.05")
	rows("find through the mount, first, s|tree|find_first|wall|low|le 0.6")
	rows("- again, s|tree|find_again|wall|low|le 0.05")
	rows("stat of all, first, s|tree|stat_first|wall|low|le 0.6")
	rows("- again, s|tree|stat_again|wall|low|-")
	rows("tar of all, first, s|tree|tar_first|wall|low|le 5")
	rows("disk image through the mount, first, MiB/s|vm|cat_first|rate|high|ge 900")
	rows("- again, MiB/s|vm|cat_again|rate|high|raw cat_again 0.8")
	rows("incompressible file, first, MiB/s|media|cat_first|rate|high|ge 900")
	rows("- again, MiB/s|media|cat_again|rate|high|raw cat_again 0.8")
	rows("random 4 KiB of the disk image, a second|vm|random|iops|high|ge 6000")
	rows("- median, us|vm|random|p50|low|-")
	rows("random 4 KiB, incompressible, a second|media|random|iops|high|ge 6000")
	rows("peak memory, snapshot, MiB|*|snapshot|rss|low|le 150")
	rows("peak memory, restore, MiB|*|restore|rss|low|le 406")
	rows("peak memory, mount, MiB|*|mount|daemon_rss|low|le 406")
}

function rows(line) { spec[++n_rows] = line }

function number(value) {
	sub(/^>/, "", value)
	return value + 0
}

# The sample's place in the memory rows, which gather steps of all corpora.
function gather(program, step, field, value,    kind, key) {
	if (field == "daemon_rss")
		kind = "mount"
	else if (field != "rss")
		return
	else if (step ~ /^restore_/)
		kind = "restore"
	else if (step ~ /^(first|same)_|^change$/)
		kind = "snapshot"
	else
		return
	key = program SUBSEP "*" SUBSEP kind SUBSEP field
	if (!(key in count) || value + 0 > sample[key, 1] + 0)
		sample[key, 1] = value
	count[key] = 1
}

NF == 5 && $4 == "text" { version[$1] = $5; next }
NF == 5 {
	key = $1 SUBSEP $2 SUBSEP $3 SUBSEP $4
	sample[key, ++count[key]] = $5
	seen[$1] = 1
	if ($1 != "raw")
		gather($1, $3, $4, $5)
}

# The median of a figure's samples, "" when there is none. A sample that failed
# or ran into its limit is the worst there is.
function median(program, corpus, step, field,    key, n, i, j, t, list) {
	key = program SUBSEP corpus SUBSEP step SUBSEP field
	n = count[key]
	if (!n)
		return ""
	for (i = 1; i <= n; i++) {
		list[i] = sample[key, i]
		if (list[i] == "fail" || list[i] ~ /^>/)
			return list[i]
	}
	for (i = 2; i <= n; i++) {
		t = list[i]
		for (j = i - 1; j >= 1 && number(list[j]) > number(t); j--)
			list[j + 1] = list[j]
		list[j + 1] = t
	}
	return list[int((n + 1) / 2)]
}

# The best of the others: sets BEST and WHO, "" when nobody has one. A figure
# that ran into its limit counts only if there is no other.
function find_best(corpus, step, field, better,    i, p, v, ended) {
	BEST = WHO = ""
	for (ended = 1; ended >= 0 && BEST == ""; ended--) {
		for (i = 2; i <= n_programs; i++) {
			p = programs[i]
			v = median(p, corpus, step, field)
			if (p == "raw" || v == "" || v == "fail" || (ended && v ~ /^>/))
				continue
			if (BEST == "" || (better == "low" && number(v) < number(BEST)) ||
			    (better == "high" && number(v) > number(BEST))) {
				BEST = v
				WHO = p
			}
		}
	}
}

function shown(v) {
	if (v == "")
		return "-"
	if (v !~ /^[0-9.]+$/ || v ~ /^[0-9]+$/)
		return v
	if (v >= 100)
		return sprintf("%.0f", v)
	return v >= 10 ? sprintf("%.1f", v) : sprintf("%.2f", v)
}

# How many times better ours is.
function ratio(ours, best, better,    r) {
	if (ours !~ /^[0-9.]+$/ || best == "" || number(ours) <= 0 || number(best) <= 0)
		return ""
	r = better == "low" ? number(best) / number(ours) : number(ours) / number(best)
	return (best ~ /^>/ ? ">" : "") sprintf("%.1f×", r)
}

# Sets WANTED (a figure, "" when it cannot be said) and GOAL (its words).
function find_goal(corpus, field, better, goal,    word, base) {
	split(goal, word, " ")
	WANTED = ""
	GOAL = "-"
	if (word[1] == "le" || word[1] == "ge") {
		# Those of time and size hold for the full corpora only.
		if (shrink == 1 || corpus == "*")
			WANTED = word[2]
		GOAL = (word[1] == "le" ? "≤ " : "≥ ") word[2]
	} else if (word[1] == "x") {
		if (BEST != "")
			WANTED = better == "low" ? number(BEST) / word[2] : number(BEST) * word[2]
		GOAL = word[2] == 1 ? "less than the others" : word[2] "× the others"
	} else if (word[1] == "raw") {
		base = median("raw", corpus, word[2], field)
		if (base ~ /^[0-9.]+$/)
			WANTED = base * word[3]
		GOAL = (better == "low" ? "≤ " : "≥ ") (base == "" ? "plain tools" : \
			shown(base * word[3]) " (plain" (word[3] == 1 ? "" : " × " word[3]) ")")
	}
}

function verdict(ours, better) {
	if (WANTED == "" || ours == "")
		return ""
	if (ours !~ /^[0-9.]+$/)
		return "missed"
	if (better == "low")
		return number(ours) <= WANTED + 0 ? "reached" : "missed"
	return number(ours) >= WANTED + 0 ? "reached" : "missed"
}

# What the step cost us: its own CPU seconds, and with a mount its daemon's.
function cpu_of(corpus, step, field,    own, daemon) {
	if (corpus == "*" || field !~ /^(wall|rate|iops)$/)
		return ""
	own = median("yore", corpus, step, "cpu")
	daemon = median("yore", corpus, step, "daemon_cpu")
	return own == "" ? "" : shown(own) (daemon == "" ? "" : " + " shown(daemon))
}

function memory_of(corpus, step, field,    own, daemon) {
	if (corpus == "*" || field !~ /^(wall|rate|iops)$/)
		return ""
	own = median("yore", corpus, step, "rss")
	daemon = median("yore", corpus, step, "daemon_rss")
	return daemon != "" ? shown(daemon) : own == "" ? "" : shown(own)
}

function print_ours(    i, f, ours) {
	print "| what | yore | CPU s | peak MiB | best of the others | ratio | goal | |"
	print "|---|---|---|---|---|---|---|---|"
	for (i = 1; i <= n_rows; i++) {
		split(spec[i], f, "|")
		ours = median("yore", f[2], f[3], f[4])
		find_best(f[2], f[3], f[4], f[5])
		find_goal(f[2], f[4], f[5], f[6])
		printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", f[1], shown(ours),
			cpu_of(f[2], f[3], f[4]), memory_of(f[2], f[3], f[4]),
			(BEST == "" ? "-" : shown(BEST) " (" WHO ")"), ratio(ours, BEST, f[5]), GOAL,
			verdict(ours, f[5])
	}
}

# The plain tools stand in where they do the same work under another name.
function raw_step(step) {
	sub(/^first_/, "packed_", step)
	sub(/^restore_/, "copy_", step)
	return step == "repository" ? "packed" : step
}

function print_all(    i, j, f, line, rule) {
	line = "| what |"
	rule = "|---|"
	for (j = 1; j <= n_programs; j++) {
		if (!(programs[j] in seen))
			continue
		line = line " " (programs[j] == "raw" ? "plain tools" : programs[j]) " |"
		rule = rule "---|"
	}
	print line
	print rule
	for (i = 1; i <= n_rows; i++) {
		split(spec[i], f, "|")
		line = "| " f[1] " |"
		for (j = 1; j <= n_programs; j++) {
			if (programs[j] in seen)
				line = line " " shown(median(programs[j], f[2], \
					programs[j] == "raw" ? raw_step(f[3]) : f[3], f[4])) " |"
		}
		print line
	}
}

END {
	if (shrink != 1) {
		print "A quick run, one " shrink "th of the size, nothing cold: " \
			"for goals of time and size take a full one."
		print ""
	}
	print_ours()
	print ""
	print "CPU s: the step's own + its mount's daemon. Peak MiB: of the daemon where there is one."
	print "First: a fresh mount" (shrink == 1 ? ", page cache dropped (as root)." : ".")
	print ""
	print_all()
	print ""
	for (i = 1; i <= n_programs; i++) {
		if (programs[i] in version)
			print "- " programs[i] ": " version[programs[i]]
	}
	print "- plain tools: tar | zstd -1 -T2 for a first snapshot, cp -a for a restore, " \
		"the files themselves for a mount"
}
