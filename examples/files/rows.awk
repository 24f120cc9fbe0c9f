# One JSON object for each line of the table but its head.
BEGIN { FS = "," }
NR > 1 { printf "{\"name\": \"%s\", \"points\": %d}\n", $1, $2 }
