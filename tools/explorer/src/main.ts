document.title = "souk API explorer";
